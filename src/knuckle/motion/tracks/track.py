"""One body's positions over time in a frame that does not move, checked where they come in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
FARTHEST_M = 1e5


@dataclass(frozen=True)
class Track:
    """Positions (n, 2) in m at the frames (n,), which grow; a frame that is missing was not seen.

    ``sequence`` is the recording it comes from, within which all tracks have one ``reference`` (a name of the frame
    of reference) and one ``dt_s`` between frames.
    """

    name: str
    sequence: str
    label: str
    frames: Ints
    positions: Array
    dt_s: float
    reference: str

    def __len__(self) -> int:
        return len(self.frames)

    def stretches(self, rows: int) -> list[Array]:
        """The runs of frames without a gap, as positions (m, 2), that have at least ``rows``."""
        cuts = np.flatnonzero(np.diff(self.frames) != 1) + 1
        return [part for part in np.split(self.positions, cuts) if len(part) >= rows]


def make_track(
    name: str, sequence: str, label: str, frames: Ints, positions: Array, dt_s: float, reference: str
) -> Track:
    """A track from rows in any order.

    Raises InputError in one line for a frame that comes twice, a position that is not finite or is far beyond what a
    frame near to the recording gives, or a time step that is not above zero.
    """
    where = f"{sequence}: track {name}"
    if len(frames) == 0 or positions.shape != (len(frames), 2) or not 0 < dt_s < float("inf"):
        what = f"{len(frames)} frames, positions of shape {positions.shape}, {dt_s} s between them"
        raise InputError(what, where=where, right="one position for each frame, a step above 0 s")
    order = np.argsort(frames, kind="stable")
    frames, positions = frames[order].astype(np.int64), positions[order].astype(np.float64)
    doubled = np.flatnonzero(np.diff(frames) == 0)
    if len(doubled):
        raise InputError(f"frame {frames[doubled[0]]} comes twice", where=where, right="one position for each frame")
    odd = np.flatnonzero(~np.isfinite(positions).all(1))
    if len(odd):
        raise InputError(f"a position in frame {frames[odd[0]]} is not finite", where=where, right="finite metres")
    if np.abs(positions).max() > FARTHEST_M:
        what = f"a position {np.abs(positions).max():.4g} m from the origin"
        raise InputError(what, where=where, right="metres in a frame near to the recording, not a map's")
    return Track(name, sequence, label, frames, positions, dt_s, reference)


def one_reference(tracks: list[Track]) -> None:
    """InputError where two tracks of one sequence are in different frames of reference or at different rates."""
    first: dict[str, Track] = {}
    for track in tracks:
        other = first.setdefault(track.sequence, track)
        here, there = (track.reference, track.dt_s), (other.reference, other.dt_s)
        if here != there:
            one, two = (f"track {t.name} in {t.reference} every {t.dt_s:g} s" for t in (track, other))
            what = f"{one}, {two}"
            raise InputError(what, where=track.sequence, right="one frame of reference for a sequence")
