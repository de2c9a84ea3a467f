"""The recent past of tracks that come frame by frame, as a forecaster wants it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Remembered:
    """``history`` (N, T, D) of the tracks of the newest frame, NaN where one was not seen, ``dt_s`` (T - 1,) apart."""

    ids: tuple[int, ...]
    history: Array
    dt_s: Array


class TrackMemory:
    """Keeps ``rows`` frames. After a gap of more than ``gap_s``, or a stamp back by so much, it begins anew."""

    def __init__(self, rows: int = 12, gap_s: float = 1.0) -> None:
        self._gap_ns = round(gap_s * 1e9)
        self._frames: deque[tuple[int, dict[int, Array]]] = deque(maxlen=rows)

    def push(self, stamp_ns: int, ids: Sequence[int], points: Array, seen: NDArray[np.bool_]) -> Remembered | None:
        """Take a frame: ``points`` (N, D) of tracks ``ids``, of which ``seen`` (N,) were observed and not predicted.

        The past of the tracks that were seen in any frame that is kept. None, and nothing kept, where the frame is not
        newer than the one before.
        """
        if self._frames:
            ahead = stamp_ns - self._frames[-1][0]
            if -self._gap_ns <= ahead <= 0:
                return None
            if ahead < 0 or ahead > self._gap_ns:
                self._frames.clear()
        rows = zip(ids, points, seen, strict=True)
        self._frames.append((stamp_ns, {track: point for track, point, there in rows if there}))
        told = tuple(track for track in ids if any(track in frame for _, frame in self._frames))
        nowhere = np.full(points.shape[1], np.nan)
        past = [[frame.get(track, nowhere) for _, frame in self._frames] for track in told]
        history = np.array(past, dtype=np.float64).reshape(len(told), len(self._frames), points.shape[1])
        return Remembered(told, history, np.diff([stamp for stamp, _ in self._frames]) * 1e-9)
