"""The one wrapper that makes a live stream fit for any estimator: gaps, jitter, order, NaN, rate, saturation.

An estimator is built for one sample rate. The guard lays a grid of that period over the stream and gives the estimator
exactly one sample for each point: the sample itself (unchanged, so that a clean stream gives the bare estimator's
bits), the one before held where up to three are missing, a linear interpolation where more are or where the rate is
another, none where one is surplus. Time is even for the estimator; its estimates come back in the stream's own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, cast

from knuckle.core.config import setting, validate
from knuckle.sensors import estimator_state
from knuckle.sensors.sample_check import SampleLimits
from knuckle.sensors.sample_grid import Order, SampleGrid
from knuckle.sensors.sample_rules import ImuRules, Rules

_KIND = "stream_guard"

S = TypeVar("S")
S_in = TypeVar("S_in", contravariant=True)
E = TypeVar("E")
E_out = TypeVar("E_out", covariant=True)


class Guarded(Protocol[S_in, E_out]):
    """What the guard can be put around: an `Estimator`, or a model whose estimates have stamp_ns, valid and reason."""

    def push(self, stamp_ns: int, sample: S_in, /) -> E_out | None:
        """Take a sample; the estimate that it completes."""
        ...

    def state(self) -> bytes:
        """All that the next ``push`` depends on."""
        ...

    def restore(self, state: bytes) -> None:
        """Go on from ``state``."""
        ...


@dataclass(frozen=True)
class GuardConfig:
    """What the guard takes for a short gap, a long one, a wrong rate, and how long trust takes to return."""

    rate_hz: float = setting(285.7142857142857, "sample rate the estimator is built for", low=1.0, high=1e5, unit="Hz")
    hold: int = setting(3, "samples in a row that may be missing in trust: the one before is held", low=0, high=1000)
    long_gap_s: float = setting(0.5, "gaps from this on reset the estimator", low=0.01, high=100.0, unit="s")
    settle_s: float = setting(1.0, "estimates stay invalid so long after a fault", low=0.0, high=100.0, unit="s")
    off_grid_share: float = setting(0.25, "share filled or skipped that means a wrong rate", low=0.01, high=1.0)
    gyr_limit: float = setting(34.8, "angular rate of saturation (2000 deg/s)", low=0.1, high=1e3, unit="rad/s")
    acc_limit: float = setting(156.8, "acceleration of saturation (16 g)", low=1.0, high=1e5, unit="m/s^2")
    mag_limit_t: float = setting(0.005, "field that no IMU reports in tesla", low=1e-5, high=10.0, unit="T")
    gravity_low: float = setting(3.0, "mean acceleration that cannot hold gravity", low=0.0, high=9.0, unit="m/s^2")


@dataclass
class GuardCounts:
    """What happened to the stream since the start, in samples; ``jumps`` and ``resets`` are events.

    ``filled`` points had no sample, ``resampled`` ones lay between two because the rate is another.
    """

    received: int = 0
    estimated: int = 0
    filled: int = 0
    resampled: int = 0
    surplus: int = 0
    nan: int = 0
    bad_mag: int = 0
    saturated: int = 0
    repeats: int = 0
    backwards: int = 0
    gaps: int = 0
    jumps: int = 0
    resets: int = 0


def imu_rules(config: GuardConfig) -> ImuRules:
    """The rules for an IMU under ``config``."""
    limits = SampleLimits(config.gyr_limit, config.acc_limit, config.mag_limit_t)
    return ImuRules(limits, config.rate_hz, config.gravity_low)


class StreamGuard(Generic[S, E]):
    """An estimator around an estimator. Stamps may start anywhere: only their differences matter.

    ``rules`` say what samples are; those of an IMU under ``config`` where none are given.
    """

    def __init__(
        self, inner: Guarded[S, E], config: GuardConfig = GuardConfig(), rules: Rules[S] | None = None
    ) -> None:
        self.config = validate(config, where="guard")
        self.counts = GuardCounts()
        self._inner, self._fresh = inner, inner.state()
        self._rules = cast("Rules[S]", rules or imu_rules(config))
        self._grid = SampleGrid(config.rate_hz, round(config.long_gap_s * 1e9))
        self._distrust, self._distrust_until_ns = "starting", 0
        self._off_grid = 0.0
        self._sample: S = self._rules.blank()  # newest one used, and its stamp
        self._sample_ns = 0

    def push(self, stamp_ns: int, sample: S) -> E | None:
        """The newest estimate that the sample brings; None where it is out of order, surplus, or an unconfirmed jump.

        A sample with NaN or infinity is not used: what the rules answer then comes back.
        """
        self.counts.received += 1
        order = self._grid.order(stamp_ns)
        if order in (Order.REPEATED, Order.BACKWARDS, Order.JUMP):
            self.counts.repeats += order is Order.REPEATED
            self.counts.backwards += order is Order.BACKWARDS
            self.counts.jumps += order is Order.JUMP
            return None
        verdict = self._rules.check(sample)
        self.counts.bad_mag += verdict.bad_mag
        if verdict.nan:
            self.counts.nan += 1
            return None if order is Order.NEW_TIME else self._refuse(stamp_ns)
        if verdict.saturated:
            self.counts.saturated += 1
        estimate = self._serve(stamp_ns, verdict.sample, new_time=order is Order.NEW_TIME)
        if verdict.saturated:
            self._distrust_from(stamp_ns, "saturated")
        return None if estimate is None else self._judge(estimate)

    def rate_hz(self) -> float:
        """The rate at which samples come, 0 before the first."""
        return self.config.rate_hz * (1.0 + self._grid.off()) if self._grid.started else 0.0

    def state(self) -> bytes:
        """The guard's own numbers and the inner estimator's state."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; the configuration must be the one it was taken under."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._inner.restore(values["inner"].encode())
        self.counts = GuardCounts(**values["counts"])
        self._grid.set_values(values["grid"])
        self._distrust, self._distrust_until_ns = values["distrust"], values["distrust_until_ns"]
        self._off_grid, self._sample_ns = values["off_grid"], values["sample_ns"]
        self._sample = self._rules.sample(values["sample"])
        self._rules.set_values(values["rules"])

    def _refuse(self, stamp_ns: int) -> E | None:
        self._distrust_from(stamp_ns, "not finite")
        answer: E | None = self._rules.refusal(stamp_ns)
        return answer

    def _serve(self, stamp_ns: int, sample: S, *, new_time: bool) -> E | None:
        """Give the estimator what the grid wants up to ``stamp_ns``; the newest estimate, in the stream's time."""
        steps = 1 if new_time else self._grid.steps_to(stamp_ns)
        if steps <= 0:
            self.counts.surplus += 1
            self._count_off_grid(1.0)
            return None
        missing = steps - 1
        if new_time or missing * self._grid.period_ns >= self._grid.long_gap_ns:
            points = [self._restart(stamp_ns)]
            held = False
        else:
            held = 0 < missing <= self.config.hold
            self.counts.gaps += missing > 0
            if missing > self.config.hold:
                self._distrust_from(stamp_ns, "gap")
            points = self._grid.points_to(self._sample_ns, stamp_ns, steps)
        newest: E | None = None
        for point in points:
            own = point.share == 1.0
            if not own:
                self.counts.resampled += self._grid.resampling
                self.counts.filled += not self._grid.resampling
            if not self._grid.resampling:
                self._count_off_grid(0.0 if own else 1.0)
            newest = self._give(point.grid_ns, point.stamp_ns, self._at(sample, point.share, held)) or newest
        self._rules.used(sample)
        self._sample, self._sample_ns = sample, stamp_ns
        self.counts.estimated += newest is not None
        return newest

    def _at(self, sample: S, share: float, held: bool) -> S:
        if share == 1.0:
            return sample
        if held and not self._grid.resampling:
            return self._sample
        between: S = self._rules.between(self._sample, sample, share)
        return between

    def _give(self, grid_ns: int, stamp_ns: int, sample: S) -> E | None:
        estimate: Any = self._inner.push(grid_ns, sample)
        if estimate is None:
            return None
        moved: E = replace(estimate, stamp_ns=estimate.stamp_ns + stamp_ns - grid_ns)
        self._rules.made(moved)
        return moved

    def _restart(self, stamp_ns: int) -> Any:
        if self._grid.started:
            self.counts.resets += 1
            self._inner.restore(self._fresh)
        self._distrust_from(stamp_ns, "reset" if self._grid.started else "starting")
        self._off_grid = 0.0
        self._rules.begin()
        return self._grid.begin(stamp_ns)

    def _count_off_grid(self, value: float) -> None:
        self._off_grid += (value - self._off_grid) / self.config.rate_hz

    def _distrust_from(self, stamp_ns: int, reason: str) -> None:
        self._distrust, self._distrust_until_ns = reason, stamp_ns + round(self.config.settle_s * 1e9)

    def _judge(self, estimate: Any) -> Any:
        wrong = self._off_grid > self.config.off_grid_share or abs(self._grid.off()) > self.config.off_grid_share
        if estimate.stamp_ns < self._distrust_until_ns:
            reason = self._distrust
        else:
            reason = self._rules.doubt() or ("wrong rate" if wrong else "")
        return replace(estimate, valid=False, reason=reason) if reason else estimate

    def _values(self) -> dict[str, Any]:
        return {
            "counts": asdict(self.counts),
            "grid": self._grid.values(),
            "distrust": self._distrust,
            "distrust_until_ns": self._distrust_until_ns,
            "off_grid": self._off_grid,
            "sample_ns": self._sample_ns,
            "sample": self._rules.plain(self._sample),
            "rules": self._rules.values(),
            "inner": self._inner.state().decode(),
        }
