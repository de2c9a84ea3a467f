"""Return, length and successes of each world's running episode: what learners log when one ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array


@dataclass(frozen=True)
class Episode:
    """One episode that ended: the sum of its rewards, its control steps, the goals it reached, how it ended."""

    total: float
    length: int
    goals: int
    dropped: bool
    broken: bool


class EpisodeMeter:
    """Adds up over ``worlds`` worlds."""

    def __init__(self, worlds: int) -> None:
        self._total: Array = np.zeros(worlds)
        self._length = np.zeros(worlds, dtype=np.int64)
        self._goals = np.zeros(worlds, dtype=np.int64)

    def add(self, reward: Array, success: NDArray[np.bool_]) -> None:
        """Count one step of all worlds."""
        self._total += reward
        self._length += 1
        self._goals += success

    def end(self, world: int, *, dropped: bool, broken: bool) -> Episode:
        """The episode of ``world``, which is over; the next begins with nothing."""
        episode = Episode(float(self._total[world]), int(self._length[world]), int(self._goals[world]), dropped, broken)
        self._total[world], self._length[world], self._goals[world] = 0.0, 0, 0
        return episode

    def clear(self) -> None:
        """All episodes are begun anew."""
        self._total[:], self._length[:], self._goals[:] = 0.0, 0, 0
