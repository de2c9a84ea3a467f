"""What makes the servo loop turn: the machine's clock, or a simulated world that is the servos' plant."""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol

POLL_S = 0.05


class Beat(Protocol):
    """Says when a cycle is due. ``stall_s`` without one and the loop stands still; ``late`` counts those too late."""

    stall_s: float
    late: int

    def wait(self, stop: threading.Event) -> bool:
        """Wait until a cycle is due; False where ``stop`` was set."""
        ...

    def done(self) -> None:
        """The cycle is over."""
        ...

    def over(self) -> None:
        """There will be no more cycles, unless somebody waits for one again."""
        ...


class ClockBeat:
    """``rate_hz`` times a second. What was lost while the machine was busy is not made up for in a burst."""

    def __init__(self, rate_hz: float, stall_s: float = 0.25) -> None:
        self._period, self.stall_s = 1.0 / rate_hz, stall_s
        self._due = time.monotonic()
        self.late = 0
        """Cycles that ended a whole period too late or more."""

    def wait(self, stop: threading.Event) -> bool:
        """Wait for the next multiple of the period."""
        return not stop.wait(max(0.0, self._due - time.monotonic()))

    def done(self) -> None:
        """Set when the next cycle is due."""
        now = time.monotonic()
        self._due += self._period
        if now - self._due > self._period:
            self.late += 1
            self._due = now

    def over(self) -> None:
        """Nobody waits for this one."""


class StepBeat:
    """One cycle for each ``step`` of another thread, which waits for it: neither outruns the other.

    A world that shares a busy machine with its servos' loop then slows down with it, instead of moving on unwatched.
    """

    stall_s = math.inf

    def __init__(self) -> None:
        self.late = 0
        self._asked = self._answered = 0
        self._over = False
        self._changed = threading.Condition()

    def step(self, patience_s: float) -> bool:
        """Let one cycle turn and wait for its end, ``patience_s`` at most; False where it did not come."""
        with self._changed:
            self._asked += 1
            wanted = self._asked
            self._changed.notify_all()
            came = self._changed.wait_for(lambda: self._over or self._answered >= wanted, patience_s)
            self.late += not came
            return came and not self._over

    def wait(self, stop: threading.Event) -> bool:
        """Wait for the next step."""
        with self._changed:
            self._over = False
            while self._answered >= self._asked and not stop.is_set():
                self._changed.wait(POLL_S)
        return not stop.is_set()

    def done(self) -> None:
        """Let the other thread go on; steps that nobody waits for any more are not made up for."""
        with self._changed:
            self._answered = self._asked
            self._changed.notify_all()

    def over(self) -> None:
        """Let the other thread go on, until a loop waits again: one whose port was lost and opened anew."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
