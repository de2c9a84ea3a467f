"""Madgwick's filter: the gyroscope integrated, and one step of gradient descent towards what the other two say.

Madgwick, "An efficient orientation filter for inertial and inertial/magnetic sensor arrays", 2010; numbers in brackets
are its equations. The earth frame here is ours (x east, y north, z up), so the reference field is (0, b_y, b_z) where
the paper's is (b_x, 0, b_z). The paper starts anywhere and waits; this starts from the first sample's tilt and heading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Array, Estimate, ImuSample
from knuckle.sensors.first_orientation import first_orientation

_KIND = "madgwick"


@dataclass(frozen=True)
class MadgwickConfig:
    """The two gains of the filter."""

    rate_hz: float = setting(285.7142857142857, "sample rate of the stream", low=1.0, high=100_000.0, unit="Hz")
    beta: float = setting(
        0.12, "gain of the gradient step (44), the gyroscope's error", low=0.0, high=10.0, unit="rad/s"
    )
    zeta: float = setting(0.0, "gain of the gyroscope bias (48), the bias's drift", low=0.0, high=1.0, unit="rad/s^2")


class MadgwickEstimator:
    """Nine axes where samples carry ``mag``, six where they do not; no covariance."""

    def __init__(self, config: MadgwickConfig = MadgwickConfig()) -> None:
        self.config = validate(config, where="madgwick")
        self._dt = 1.0 / config.rate_hz
        self._started = False
        self._q = [1.0, 0.0, 0.0, 0.0]
        self._bias = [0.0, 0.0, 0.0]

    def push(self, stamp_ns: int, sample: ImuSample) -> Estimate:
        """One step. An accelerometer or a field without a length is left out of it."""
        acc = _unit(sample.acc)
        mag = None if sample.mag is None else _unit(sample.mag)
        if not self._started and acc is not None:
            self._q, self._started = first_orientation(acc, mag), True
        elif self._started:
            self._step(sample.gyr.tolist(), acc, mag)
        return Estimate(stamp_ns, np.array(self._q))

    def state(self) -> bytes:
        """Orientation and bias."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; the configuration must be the one it was taken under."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._started = values["started"]
        self._q, self._bias = ([float(v) for v in values[name]] for name in ("q", "bias"))

    def _values(self) -> dict[str, object]:
        return {"started": self._started, "q": list(self._q), "bias": list(self._bias)}

    def _step(self, gyr: list[float], acc: list[float] | None, mag: list[float] | None) -> None:
        w, x, y, z = self._q
        gradient = _gradient(self._q, acc, mag)
        length = math.sqrt(sum(g * g for g in gradient))
        error = [g / length for g in gradient] if length > 0.0 else [0.0] * 4  # (44)
        if self.config.zeta > 0.0:
            e0, e1, e2, e3 = error
            about = (  # (47): 2 conj(q) ⊗ error
                2.0 * (w * e1 - x * e0 - y * e3 + z * e2),
                2.0 * (w * e2 + x * e3 - y * e0 - z * e1),
                2.0 * (w * e3 - x * e2 + y * e1 - z * e0),
            )
            for k in range(3):
                self._bias[k] += self.config.zeta * about[k] * self._dt  # (48)
        gx, gy, gz = (rate - bias for rate, bias in zip(gyr, self._bias, strict=True))  # (49)
        turned = (  # (11)
            0.5 * (-x * gx - y * gy - z * gz),
            0.5 * (w * gx + y * gz - z * gy),
            0.5 * (w * gy - x * gz + z * gx),
            0.5 * (w * gz + x * gy - y * gx),
        )
        beta, dt = self.config.beta, self._dt
        q = [a + (rate - beta * e) * dt for a, rate, e in zip(self._q, turned, error, strict=True)]  # (42), (43)
        norm = math.sqrt(sum(a * a for a in q))
        self._q = [a / norm for a in q]


def _gradient(q: list[float], acc: list[float] | None, mag: list[float] | None) -> list[float]:
    """J^T f (34) of what the accelerometer (25, 26) and the field (29, 30) find wrong with ``q``."""
    w, x, y, z = q
    up = (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y))  # the earth's z in the sensor
    f = [0.0, 0.0, 0.0]  # what multiplies the Jacobian of the earth's z
    h = [0.0, 0.0, 0.0]  # and that of its y
    if acc is not None:
        f = [u - a for u, a in zip(up, acc, strict=True)]
    if mag is not None:
        north = (2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x))
        east = (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y))
        fx, fy, bz = (sum(a * m for a, m in zip(axis, mag, strict=True)) for axis in (east, north, up))  # (45)
        by = math.hypot(fx, fy)  # (46)
        wrong = [by * n + bz * u - m for n, u, m in zip(north, up, mag, strict=True)]
        f = [a + bz * b for a, b in zip(f, wrong, strict=True)]
        h = [by * b for b in wrong]
    return [
        2.0 * (-y * f[0] + x * f[1] + z * h[0] - x * h[2]),
        2.0 * (z * f[0] + w * f[1] - 2.0 * x * f[2] + y * h[0] - 2.0 * x * h[1] - w * h[2]),
        2.0 * (-w * f[0] + z * f[1] - 2.0 * y * f[2] + x * h[0] + z * h[2]),
        2.0 * (x * f[0] + y * f[1] + w * h[0] - 2.0 * z * h[1] + y * h[2]),
    ]


def _unit(v: Array) -> list[float] | None:
    values = [float(a) for a in v]
    norm = math.sqrt(sum(a * a for a in values))
    return [a / norm for a in values] if norm > 0.0 else None
