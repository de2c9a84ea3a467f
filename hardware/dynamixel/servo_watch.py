"""Which servos answer: misses in a row, who is silent, who came back with its settings gone. Pure."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.contracts import REBOOTED, SILENT

Mask = NDArray[np.bool_]

SECOND_NS = 1_000_000_000


class ServoWatch:
    """Counts answers of ``dof`` servos. A servo is silent after ``lost_cycles`` misses in a row, until ``forgive``.

    Once silent it may answer again: what it did meanwhile nobody knows, so it stays lost.
    """

    def __init__(self, dof: int, lost_cycles: int) -> None:
        self._lost_cycles = lost_cycles
        self.misses = np.zeros(dof, dtype=np.int64)
        """Cycles in a row without an answer."""
        self.silent = np.zeros(dof, dtype=np.bool_)
        self.rebooted = np.zeros(dof, dtype=np.bool_)
        self.lost_cycles_total = 0
        """Cycles in which a servo that should have answered did not, retries and all."""
        self._recent: deque[tuple[int, int]] = deque()

    @property
    def lost(self) -> Mask:
        """Servos that take no part until they are recovered."""
        return self.silent | self.rebooted

    @property
    def bits(self) -> NDArray[np.int32]:
        """The driver's bits of ``HandState.error``."""
        return (SILENT * self.silent + REBOOTED * self.rebooted).astype(np.int32)

    def cycle(self, answered: Mask) -> Mask:
        """Take the answers of one cycle; the servos that have just become silent."""
        counted = ~self.silent
        self.lost_cycles_total += bool((counted & ~answered).any())
        self.misses = np.where(answered, 0, self.misses + 1)
        fresh: Mask = counted & (self.misses >= self._lost_cycles)
        self.silent |= fresh
        return fresh

    def settings_lost(self, joint: int) -> bool:
        """Servo ``joint`` does not hold what it was set to. True where that is new."""
        new = not self.rebooted[joint]
        self.rebooted[joint] = True
        return bool(new)

    def forgive(self, joint: int) -> None:
        """Servo ``joint`` was set up anew and answers."""
        self.silent[joint] = self.rebooted[joint] = False
        self.misses[joint] = 0

    def missed_packets(self, count: int, now_ns: int) -> None:
        """Note ``count`` packets that did not come at the first try."""
        if count:
            self._recent.append((now_ns, count))

    def missed_within_a_second(self, now_ns: int) -> int:
        """Packets that did not come at the first try, in the last second."""
        while self._recent and self._recent[0][0] <= now_ns - SECOND_NS:
            self._recent.popleft()
        return sum(count for _, count in self._recent)
