"""Where each stamp of a live stream falls on the even grid an estimator expects.

The samples' own period is measured and their phase followed. While that period is within a hundredth of the
estimator's, samples go one to one: a sensor whose clock is a little off loses none, and jitter of up to a third of a
period changes nothing. Beyond a hundredth the estimator's grid is laid over the time that they have.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from typing import Any

from knuckle.sensors.rate_meter import RateMeter

TOLERANCE = 0.01
"""How far the period may be off, of the estimator's, before samples are resampled."""
_BACK = 0.8  # of the tolerance: where they go one to one again
_GAIN = 0.03  # of the phase's error, a sample


class Order(Enum):
    """How a stamp stands to those before it."""

    IN_ORDER = auto()
    REPEATED = auto()  # the newest once more
    BACKWARDS = auto()  # before the newest: late
    JUMP = auto()  # far off, either way; waits for a second stamp that agrees
    NEW_TIME = auto()  # the second that agrees: time goes on from here


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the grid that the estimator is to be given.

    ``grid_ns`` is its even time, ``stamp_ns`` the time that it stands for, ``share`` where that is between the sample
    before (0) and this one (1: the sample itself).
    """

    grid_ns: int
    stamp_ns: int
    share: float


@dataclass
class SampleGrid:
    """A grid of period 1 / ``rate_hz`` whose point 0 is the first stamp; ``long_gap_ns`` and more is a jump.

    A single wild stamp must not end a stream, and a clock that was set must not end it either: so a jump is believed
    when the stamp after it follows it closely. The fields after the first two are the state; ``phase_ns`` (of the
    newest sample, without its jitter) and ``made_ns`` (the time of the newest point) count from ``origin_ns``.
    """

    rate_hz: float
    long_gap_ns: int
    started: bool = False
    origin_ns: int = 0
    point: int = 0
    newest_ns: int = 0
    suspected: bool = False
    suspect_ns: int = 0
    period_ns: float = 0.0
    phase_ns: float = 0.0
    made_ns: float = 0.0
    resampling: bool = False
    meter: RateMeter = field(default_factory=RateMeter)

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
            return Order.BACKWARDS if step else Order.REPEATED
        self.newest_ns, self.suspected = stamp_ns, False
        if self.meter.push(step, self.period_ns):
            self._measure()
        return Order.IN_ORDER

    def begin(self, stamp_ns: int) -> Point:
        """Lay point 0 at ``stamp_ns``."""
        self.started, self.suspected = True, False
        self.origin_ns = self.newest_ns = stamp_ns
        self.point, self.period_ns, self.phase_ns, self.made_ns = 0, self._nominal_ns, 0.0, 0.0
        self.resampling, self.meter = False, RateMeter()
        return Point(stamp_ns, stamp_ns, 1.0)

    def steps_to(self, stamp_ns: int) -> int:
        """Periods of the sensor from its newest sample to ``stamp_ns``: 1 in a clean stream."""
        return math.floor((stamp_ns - self.origin_ns - self.phase_ns) / self.period_ns + 0.5)

    def points_to(self, before_ns: int, stamp_ns: int, steps: int) -> list[Point]:
        """The points that the sample of ``stamp_ns`` brings, ``steps`` of the sensor after the one of ``before_ns``."""
        now = float(stamp_ns - self.origin_ns)
        expected = self.phase_ns + steps * self.period_ns
        self.phase_ns = expected + _GAIN * (now - expected)
        if self.resampling:
            return self._resampled(float(before_ns - self.origin_ns), now)
        self.made_ns = now
        shares = [step / steps for step in range(1, steps + 1)]
        return [self._next(before_ns + round(share * (stamp_ns - before_ns)), share) for share in shares]

    def off(self) -> float:
        """How far the sensor's rate is from the estimator's, of the estimator's."""
        return self._nominal_ns / self.period_ns - 1.0 if self.started else 0.0

    def values(self) -> dict[str, Any]:
        """All but the configuration, as plain numbers and lists."""
        values = asdict(self)
        del values["rate_hz"], values["long_gap_ns"]
        return values

    def set_values(self, values: dict[str, Any]) -> None:
        """The inverse."""
        for name, value in values.items():
            setattr(self, name, RateMeter(**value) if name == "meter" else value)

    @property
    def _nominal_ns(self) -> float:
        return 1e9 / self.rate_hz

    def _measure(self) -> None:
        self.period_ns = self.meter.period_ns()
        limit = TOLERANCE * self.meter.slack() * (_BACK if self.resampling else 1.0)
        self.resampling = abs(self.off()) > limit

    def _resampled(self, before: float, now: float) -> list[Point]:
        found = []
        while self.made_ns + self._nominal_ns <= now:
            self.made_ns += self._nominal_ns
            share = (self.made_ns - before) / (now - before)
            found.append(self._next(self.origin_ns + round(self.made_ns), min(max(share, 0.0), 1.0)))
        return found

    def _next(self, stamp_ns: int, share: float) -> Point:
        self.point += 1
        return Point(self.origin_ns + round(self.point * self._nominal_ns), stamp_ns, share)
