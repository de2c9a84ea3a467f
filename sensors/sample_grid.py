"""Where each stamp of a live stream falls on the even grid an estimator expects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto


class Order(Enum):
    """How a stamp stands to those before it."""

    IN_ORDER = auto()
    BACKWARDS = auto()  # not after the newest: late or repeated
    JUMP = auto()  # far off, either way; waits for a second stamp that agrees
    NEW_TIME = auto()  # the second that agrees: time goes on from here


@dataclass
class SampleGrid:
    """A grid of period 1 / ``rate_hz`` whose point 0 is the first stamp; ``long_gap_ns`` and more is a jump.

    A single wild stamp must not end a stream, and a clock that was set must not end it either: so a jump is believed
    when the stamp after it follows it closely. The fields after the first two are the state.
    """

    rate_hz: float
    long_gap_ns: int
    started: bool = False
    origin_ns: int = 0
    point: int = 0  # newest grid point served
    newest_ns: int = 0
    suspected: bool = False
    suspect_ns: int = 0

    def order(self, stamp_ns: int) -> Order:
        """Judge the order of ``stamp_ns`` and remember it."""
        if not self.started:
            return Order.NEW_TIME
        step = stamp_ns - self.newest_ns
        if abs(step) >= self.long_gap_ns:
            agrees = self.suspected and 0 < stamp_ns - self.suspect_ns < self.long_gap_ns
            self.suspected, self.suspect_ns = True, stamp_ns
            return Order.NEW_TIME if agrees else Order.JUMP
        if step <= 0:
            return Order.BACKWARDS
        self.newest_ns, self.suspected = stamp_ns, False
        return Order.IN_ORDER

    def begin(self, stamp_ns: int) -> None:
        """Lay point 0 at ``stamp_ns`` and count it as served."""
        self.started, self.suspected = True, False
        self.origin_ns = self.newest_ns = stamp_ns
        self.point = 0

    def steps_to(self, stamp_ns: int) -> int:
        """Grid points from the newest served to the one nearest to ``stamp_ns``: 1 in a clean stream."""
        return math.floor((stamp_ns - self.origin_ns) * self.rate_hz / 1e9 + 0.5) - self.point

    def stamp_of(self, point: int) -> int:
        """The stamp of a grid point."""
        return self.origin_ns + round(point * 1e9 / self.rate_hz)
