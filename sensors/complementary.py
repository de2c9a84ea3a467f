"""A complementary filter: the gyroscope integrated, tilt and heading pulled towards what the other two say.

As in Valenti, Dryanovski and Xiao, "Keeping a good attitude", Sensors 15(8), 2015, the accelerometer turns the estimate
about a horizontal axis alone and the field about the vertical alone, so that a disturbed field never tilts it, and the
accelerometer counts less the further its length is from gravity's (their adaptive gain: whole up to a tenth, nothing
from two tenths on). Here each correction is the share dt / tau of its angle, so the gains do not change with the rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Estimate, ImuSample
from knuckle.sensors.first_orientation import first_orientation

_KIND = "complementary"
_GRAVITY = 9.81
_TRUSTED, _IGNORED = 0.1, 0.2


@dataclass(frozen=True)
class ComplementaryConfig:
    """How fast tilt and heading are pulled."""

    rate_hz: float = setting(285.7142857142857, "sample rate of the stream", low=1.0, high=100_000.0, unit="Hz")
    tau_acc_s: float = setting(8.0, "time constant of the tilt's correction", low=0.01, high=1000.0, unit="s")
    tau_mag_s: float = setting(9.0, "time constant of the heading's correction", low=0.01, high=1000.0, unit="s")


class ComplementaryEstimator:
    """Nine axes where samples carry ``mag``, six where they do not; no covariance."""

    def __init__(self, config: ComplementaryConfig = ComplementaryConfig()) -> None:
        self.config = validate(config, where="complementary")
        self._dt = 1.0 / config.rate_hz
        self._started = False
        self._q = [1.0, 0.0, 0.0, 0.0]

    def push(self, stamp_ns: int, sample: ImuSample) -> Estimate:
        """One step. An accelerometer or a field without a length is left out of it."""
        acc = sample.acc.tolist()
        mag = None if sample.mag is None or not sample.mag.any() else sample.mag.tolist()
        length = math.sqrt(sum(a * a for a in acc))
        if not self._started and length > 0.0:
            self._q, self._started = first_orientation(acc, mag), True
        elif self._started:
            q = _product(self._q, _turn([rate * self._dt for rate in sample.gyr.tolist()]))
            if length > 0.0:
                q = self._levelled(q, acc, length)
            if mag is not None:
                q = self._headed(q, mag)
            norm = math.sqrt(sum(a * a for a in q))
            self._q = [a / norm for a in q]
        return Estimate(stamp_ns, np.array(self._q))

    def state(self) -> bytes:
        """The orientation."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; the configuration must be the one it was taken under."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._started, self._q = values["started"], [float(v) for v in values["q"]]

    def _values(self) -> dict[str, object]:
        return {"started": self._started, "q": list(self._q)}

    def _levelled(self, q: list[float], acc: list[float], length: float) -> list[float]:
        """``q`` turned about the horizontal axis that brings what the accelerometer calls up nearer to up."""
        off = abs(length - _GRAVITY) / _GRAVITY
        trust = min(1.0, max(0.0, (_IGNORED - off) / (_IGNORED - _TRUSTED)))
        x, y, z = _rotated(q, acc)
        level = math.hypot(x, y)
        if level == 0.0 or trust == 0.0:
            return q
        angle = trust * min(1.0, self._dt / self.config.tau_acc_s) * math.atan2(level, z)
        return _product(_turn([angle * y / level, -angle * x / level, 0.0]), q)

    def _headed(self, q: list[float], mag: list[float]) -> list[float]:
        """``q`` turned about the vertical, which brings the field nearer to north."""
        x, y, _ = _rotated(q, mag)
        if x == 0.0 and y == 0.0:
            return q
        angle = min(1.0, self._dt / self.config.tau_mag_s) * math.atan2(x, y)
        return _product(_turn([0.0, 0.0, angle]), q)


def _turn(v: list[float]) -> list[float]:
    """The rotation vector ``v`` as a quaternion."""
    angle = math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    scale = math.sin(0.5 * angle) / angle if angle > 0.0 else 0.5
    return [math.cos(0.5 * angle), scale * v[0], scale * v[1], scale * v[2]]


def _product(a: list[float], b: list[float]) -> list[float]:
    (aw, ax, ay, az), (bw, bx, by, bz) = a, b
    return [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]


def _rotated(q: list[float], v: list[float]) -> tuple[float, float, float]:
    """``v`` turned by ``q``."""
    (w, x, y, z), (a, b, c) = q, v
    tx, ty, tz = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    return (a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx)
