"""Which faults are there now: begun by hand or by a script, over by their time or cleared. Time is an argument."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from knuckle.hardware.virtual.faults import KINDS, Fault, ScriptedFault

NEVER_NS = 2**63 - 1


@dataclass(frozen=True)
class ActiveFault:
    """A fault since ``since_ns``, over at ``until_ns``."""

    fault: Fault
    since_ns: int
    until_ns: int


class FaultBoard:
    """The faults of one bus. ``step`` moves it on and says what began and what ended."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Fault]] = []
        self._count = 0
        self.active: list[ActiveFault] = []
        self.injected = 0

    def inject(self, fault: Fault, at_ns: int) -> None:
        """Let ``fault`` begin at ``at_ns``."""
        self._count += 1
        heapq.heappush(self._waiting, (at_ns, self._count, fault))

    def play(self, script: Sequence[ScriptedFault], from_ns: int) -> None:
        """Let a script begin at ``from_ns``."""
        for scripted in script:
            self.inject(scripted.fault, from_ns + round(scripted.at_s * 1e9))

    def clear(self, now_ns: int) -> int:
        """End what lasts and forget what waits; how many faults that were."""
        count = len(self.active) + len(self._waiting)
        self._waiting.clear()
        self.active = [ActiveFault(a.fault, a.since_ns, min(a.until_ns, now_ns)) for a in self.active]
        return count

    def step(self, now_ns: int) -> tuple[list[ActiveFault], list[ActiveFault]]:
        """The faults that began and those that ended up to ``now_ns``, momentary ones in both."""
        began: list[ActiveFault] = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            at_ns, _, fault = heapq.heappop(self._waiting)
            until_ns = at_ns if KINDS[fault.kind].momentary else self._end(fault, at_ns)
            began.append(ActiveFault(fault, at_ns, until_ns))
        self.injected += len(began)
        if began:
            self.active += began
        ended = [a for a in self.active if a.until_ns <= now_ns]
        if ended:
            self.active = [a for a in self.active if a.until_ns > now_ns]
        return began, ended

    def next_ns(self) -> int:
        """When something begins or ends next; NEVER_NS where nothing is to come."""
        waiting = self._waiting[0][0] if self._waiting else NEVER_NS
        return min([waiting, *(a.until_ns for a in self.active)])

    @staticmethod
    def _end(fault: Fault, at_ns: int) -> int:
        if fault.kind == "reboot" and fault.duration_s is None:
            return at_ns + round(fault.amount * 1e6)
        return NEVER_NS if fault.duration_s is None else at_ns + round(fault.duration_s * 1e9)
