"""A sequence of labelled boxes: what was in an image at each frame, and which box is whose."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import InputError
from knuckle.perception.tracking.boxes import Array, Ints, usable

MAX_ROWS = 2_000_000
MAX_FRAMES = 200_000


@dataclass(frozen=True)
class Sequence:
    """The true boxes of a film, one row each, by frame and then by track.

    ``frame`` (K,) from 0 to ``frames`` - 1, ``track`` (K,), ``boxes`` (K, 4) centre, width, height in px, ``label``
    (K,) the number of its class. Frames with no row were empty. ``starts`` (frames + 1,) says where a frame begins.
    """

    name: str
    rate_hz: float
    width: int
    height: int
    frames: int
    frame: Ints
    track: Ints
    boxes: Array
    label: Ints
    starts: Ints

    def at(self, frame: int) -> slice:
        """The rows of one frame."""
        return slice(int(self.starts[frame]), int(self.starts[frame + 1]))

    def stamp_ns(self, frame: int) -> int:
        """The time of a frame since the first."""
        return round(frame * 1e9 / self.rate_hz)

    def head(self, frames: int) -> Sequence:
        """The first ``frames`` frames; all of them where 0 or more than there are."""
        if frames <= 0 or frames >= self.frames:
            return self
        k = int(self.starts[frames])
        rows = (self.frame[:k], self.track[:k], self.boxes[:k], self.label[:k])
        return Sequence(self.name, self.rate_hz, self.width, self.height, frames, *rows, self.starts[: frames + 1])

    def of_label(self, label: int) -> Sequence:
        """The boxes of one class."""
        rows = self.label == label
        starts = np.concatenate([[0], np.cumsum(rows)])[self.starts].astype(np.int64)
        own = (self.frame[rows], self.track[rows], self.boxes[rows], self.label[rows], starts)
        return Sequence(self.name, self.rate_hz, self.width, self.height, self.frames, *own)

    def digest(self) -> str:
        """sha256 of its rows, hexadecimal: float64 little-endian boxes rounded to 1e-4 px."""
        return digest_of(self.frame, self.track, self.label, np.round(self.boxes * 1e4))


def make_sequence(
    name: str, rate_hz: float, size: tuple[int, int], frames: int, frame: Ints, track: Ints, boxes: Array, label: Ints
) -> Sequence:
    """A checked sequence from rows in any order.

    Raises InputError naming the first row that is wrong: a box without size or not finite, a frame outside the film, a
    track twice in a frame, a class that changes within a track.
    """
    if not (0.1 <= rate_hz <= 10_000.0 and 0 < frames <= MAX_FRAMES and len(frame) <= MAX_ROWS):
        what = f"{frames} frames at {rate_hz:g} Hz, {len(frame)} boxes"
        raise InputError(what, where=name, right=f"1 to {MAX_FRAMES} frames, 0.1 to 10000 Hz, at most {MAX_ROWS} boxes")
    order = np.lexsort((track, frame))
    frame, track, boxes, label = frame[order], track[order], boxes[order], label[order]
    bad = ~usable(boxes)
    if bad.any():
        k = int(np.argmax(bad))
        what = f"the box of track {track[k]} in frame {frame[k] + 1} is {np.round(boxes[k], 2).tolist()}"
        raise InputError(what, where=name, right="finite centre, width and height above zero")
    outside = (frame < 0) | (frame >= frames)
    if outside.any():
        what = f"frame {frame[np.argmax(outside)] + 1} is not in the film"
        raise InputError(what, where=name, right=f"frames 1 to {frames}")
    twice = (np.diff(frame) == 0) & (np.diff(track) == 0)
    if twice.any():
        k = int(np.argmax(twice))
        what = f"track {track[k]} is twice in frame {frame[k] + 1}"
        raise InputError(what, where=name, right="one box for each track and frame")
    by_track = np.lexsort((frame, track))
    changed = (np.diff(track[by_track]) == 0) & (np.diff(label[by_track]) != 0)
    if changed.any():
        what = f"track {track[by_track][np.argmax(changed)]} changes its class"
        raise InputError(what, where=name, right="one class for each track")
    starts = np.searchsorted(frame, np.arange(frames + 1)).astype(np.int64)
    return Sequence(name, rate_hz, size[0], size[1], frames, frame, track, boxes, label, starts)


def digest_of(*arrays: Ints | Array) -> str:
    """sha256 of arrays in turn, hexadecimal, as little-endian 64-bit numbers."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array, dtype="<f8" if array.dtype.kind == "f" else "<i8").tobytes())
    return total.hexdigest()
