"""Windows of tracks: what was seen of a body, and where it was afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.motion.tracks.track import Track, one_reference

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WindowConfig:
    """The defaults are the stored baselines': 1 s seen, 3 s to come, what moves faster than 2 m/s."""

    history_s: float = setting(1.0, "what is seen", low=0.2, high=30.0, unit="s")
    future_s: float = setting(3.0, "what is forecast", low=0.2, high=30.0, unit="s")
    every: int = setting(5, "frames from one window to the next", low=1, high=10_000)
    slowest_mps: float = setting(2.0, "mean speed over what is seen, at least", low=0.0, high=100.0, unit="m/s")


@dataclass(frozen=True)
class Windows:
    """W windows: ``history`` (W, H, 2), ``future`` (W, T, 2) in m, ``track`` (W,) an index into ``names``.

    A name is SEQUENCE/TRACK. The first row to come is ``dt_s`` after the newest that was seen.
    """

    history: Array
    future: Array
    track: Ints
    names: tuple[str, ...]
    dt_s: float

    def __len__(self) -> int:
        return len(self.history)

    def take(self, rows: Ints | NDArray[np.bool_]) -> Windows:
        """Some of the windows."""
        return Windows(self.history[rows], self.future[rows], self.track[rows], self.names, self.dt_s)

    def of_sequences(self, sequences: set[str]) -> Windows:
        """The windows of some sequences."""
        wanted = np.array([name.rpartition("/")[0] in sequences for name in self.names], dtype=bool)
        return self.take(wanted[self.track] if len(self) else np.zeros(0, dtype=bool))

    @property
    def sequences(self) -> list[str]:
        """The sequences that have a window, sorted."""
        return sorted({self.names[k].rpartition("/")[0] for k in set(self.track.tolist())})


def cut_windows(tracks: list[Track], config: WindowConfig) -> Windows:
    """The windows of all tracks, none over a gap: a track of one point gives none.

    Raises InputError where sequences differ in their rate, one mixes frames of reference, or there is no window.
    """
    one_reference(tracks)
    rates = {track.dt_s for track in tracks}
    if len(rates) != 1:
        what = f"tracks of {len(rates)} rates" if rates else "no track"
        raise InputError(what, where="windows", right="tracks with one time between frames")
    dt = rates.pop()
    H, T = round(config.history_s / dt) + 1, round(config.future_s / dt)
    cut, owner = [], []
    for k, track in enumerate(tracks):
        for part in track.stretches(H + T):
            for at in range(0, len(part) - H - T + 1, config.every):
                window = part[at : at + H + T]
                if np.linalg.norm(window[H - 1] - window[0]) >= config.slowest_mps * (H - 1) * dt:
                    cut.append(window)
                    owner.append(k)
    if not cut:
        what = f"no window of {config.history_s} + {config.future_s} s in {len(tracks)} tracks"
        raise InputError(what, where="windows", right=f"longer tracks, or some faster than {config.slowest_mps} m/s")
    rows = np.array(cut)
    names = tuple(f"{track.sequence}/{track.name}" for track in tracks)
    return Windows(rows[:, :H], rows[:, H:], np.array(owner, dtype=np.int64), names, dt)
