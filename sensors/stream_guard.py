"""The one wrapper that makes a live stream fit for any estimator: gaps, jitter, order, NaN, rate, saturation.

An estimator is built for one sample rate. The guard lays a grid of that period over the stream and gives the estimator
exactly one sample for each point: the sample itself where it is nearest (unchanged, so that a clean stream gives the
bare estimator's bits), a linear interpolation where samples are missing, none where one is surplus.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Estimate, Estimator, ImuSample
from knuckle.sensors.sample_check import SampleLimits, between, check
from knuckle.sensors.sample_grid import Order, SampleGrid

_KIND = "stream_guard"
_GRID_STATE = ("started", "origin_ns", "point", "newest_ns", "suspected", "suspect_ns")
_GRAVITY_TAU_S = 2.0


@dataclass(frozen=True)
class GuardConfig:
    """What the guard takes for a short gap, a long one, a wrong rate, and how long trust takes to return."""

    rate_hz: float = setting(285.7142857142857, "sample rate the estimator is built for", low=1.0, high=1e5, unit="Hz")
    short_gap_s: float = setting(0.1, "gaps up to this are interpolated in trust", low=0.0, high=10.0, unit="s")
    long_gap_s: float = setting(1.0, "gaps from this on reset the estimator", low=0.01, high=100.0, unit="s")
    settle_s: float = setting(1.0, "estimates stay invalid so long after a fault", low=0.0, high=100.0, unit="s")
    off_grid_share: float = setting(0.25, "share filled or skipped that means a wrong rate", low=0.01, high=1.0)
    gyr_limit: float = setting(34.8, "angular rate of saturation (2000 deg/s)", low=0.1, high=1e3, unit="rad/s")
    acc_limit: float = setting(156.8, "acceleration of saturation (16 g)", low=1.0, high=1e5, unit="m/s^2")
    mag_limit_t: float = setting(0.005, "field that no IMU reports in tesla", low=1e-5, high=10.0, unit="T")
    gravity_low: float = setting(3.0, "mean acceleration that cannot hold gravity", low=0.0, high=9.0, unit="m/s^2")


@dataclass
class GuardCounts:
    """What happened to the stream since the start, in samples; ``jumps`` and ``resets`` are events."""

    received: int = 0
    estimated: int = 0
    filled: int = 0
    surplus: int = 0
    nan: int = 0
    bad_mag: int = 0
    saturated: int = 0
    backwards: int = 0
    jumps: int = 0
    resets: int = 0


class StreamGuard:
    """An estimator around an estimator. Stamps may start anywhere: only their differences matter."""

    def __init__(self, inner: Estimator, config: GuardConfig = GuardConfig()) -> None:
        self.config = validate(config, where="guard")
        self.counts = GuardCounts()
        self._inner, self._fresh = inner, inner.state()
        self._grid = SampleGrid(config.rate_hz, round(config.long_gap_s * 1e9))
        self._limits = SampleLimits(config.gyr_limit, config.acc_limit, config.mag_limit_t)
        self._distrust, self._distrust_until_ns = "starting", 0
        self._off_grid, self._gravity = 0.0, 9.8
        self._sample = ImuSample(np.zeros(3), np.zeros(3))  # newest one used
        self._orientation = np.array([1.0, 0.0, 0.0, 0.0])  # newest one estimated

    def push(self, stamp_ns: int, sample: ImuSample) -> Estimate | None:
        """The estimate for ``stamp_ns``; None for a sample that is out of order, surplus, or an unconfirmed jump.

        A sample with NaN or infinity in ``gyr`` or ``acc`` is not used: the last orientation comes back, invalid.
        """
        self.counts.received += 1
        order = self._grid.order(stamp_ns)
        if order is Order.BACKWARDS:
            self.counts.backwards += 1
            return None
        if order is Order.JUMP:
            self.counts.jumps += 1
            return None
        verdict = check(sample, self._limits)
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

    def state(self) -> bytes:
        """The guard's own numbers and the inner estimator's state."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; the configuration must be the one it was taken under."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._inner.restore(values["inner"].encode())
        self.counts = GuardCounts(**values["counts"])
        for name, value in values["grid"].items():
            setattr(self._grid, name, value)
        self._distrust, self._distrust_until_ns = values["distrust"], values["distrust_until_ns"]
        self._off_grid, self._gravity = values["off_grid"], values["gravity"]
        gyr, acc, mag = np.array(values["sample"], dtype=np.float64)
        self._sample = ImuSample(gyr, acc, mag if values["has_mag"] else None)
        self._orientation = np.array(values["orientation"], dtype=np.float64)

    def _refuse(self, stamp_ns: int) -> Estimate:
        self._distrust_from(stamp_ns, "not finite")
        return Estimate(stamp_ns, self._orientation, None, False, "not finite")

    def _serve(self, stamp_ns: int, sample: ImuSample, *, new_time: bool) -> Estimate | None:
        """Give the estimator what the grid wants up to ``stamp_ns``."""
        steps = 1 if new_time else self._grid.steps_to(stamp_ns)
        if steps <= 0:
            self.counts.surplus += 1
            self._count_off_grid(1.0)
            return None
        missing_ns = (steps - 1) * 1e9 / self.config.rate_hz
        if new_time or missing_ns >= self._grid.long_gap_ns:
            self._restart(stamp_ns)
            steps = 1
        else:
            if missing_ns > self.config.short_gap_s * 1e9:
                self._distrust_from(stamp_ns, "gap")
            self._fill(steps, sample)
            self._grid.point += steps
        self._count_off_grid(0.0)
        norm = math.hypot(*sample.acc.tolist())
        self._gravity += (norm - self._gravity) / max(1.0, _GRAVITY_TAU_S * self.config.rate_hz)
        self._sample = sample
        estimate = self._inner.push(stamp_ns, sample)
        if estimate is not None:
            self.counts.estimated += 1
            self._orientation = estimate.orientation
        return estimate

    def _restart(self, stamp_ns: int) -> None:
        if self._grid.started:
            self.counts.resets += 1
            self._inner.restore(self._fresh)
        self._distrust_from(stamp_ns, "reset" if self._grid.started else "starting")
        self._off_grid, self._gravity = 0.0, 9.8
        self._grid.begin(stamp_ns)

    def _fill(self, steps: int, sample: ImuSample) -> None:
        for step in range(1, steps):
            self._inner.push(self._grid.stamp_of(self._grid.point + step), between(self._sample, sample, step / steps))
            self.counts.filled += 1
            self._count_off_grid(1.0)

    def _count_off_grid(self, value: float) -> None:
        self._off_grid += (value - self._off_grid) / self.config.rate_hz

    def _distrust_from(self, stamp_ns: int, reason: str) -> None:
        self._distrust, self._distrust_until_ns = reason, stamp_ns + round(self.config.settle_s * 1e9)

    def _judge(self, estimate: Estimate) -> Estimate:
        if estimate.stamp_ns < self._distrust_until_ns:
            reason = self._distrust
        elif self._gravity < self.config.gravity_low:
            reason = "no gravity"
        elif self._off_grid > self.config.off_grid_share:
            reason = "wrong rate"
        else:
            return estimate
        return replace(estimate, valid=False, reason=reason)

    def _values(self) -> dict[str, object]:
        last = self._sample
        mag = np.zeros(3) if last.mag is None else last.mag
        return {
            "counts": asdict(self.counts),
            "grid": {name: getattr(self._grid, name) for name in _GRID_STATE},
            "distrust": self._distrust,
            "distrust_until_ns": self._distrust_until_ns,
            "off_grid": self._off_grid,
            "gravity": self._gravity,
            "sample": [last.gyr.tolist(), last.acc.tolist(), mag.tolist()],
            "has_mag": last.mag is not None,
            "orientation": self._orientation.tolist(),
            "inner": self._inner.state().decode(),
        }
