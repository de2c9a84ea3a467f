"""The inertial and magnetic sensor on the palm: 120 Hz, with noise, wandering biases and a magnetic disturbance.

The palm is bolted to its frame, and the simulated mount does not move: the true rate is zero and the true orientation
is that of the mount, known at all times. What an estimator must cope with is what the sensor adds: white noise, a
constant and a slowly walking bias, and the field of a magnet that passes by now and then. Frame of all samples:
``palm_imu``, which is turned against hand_base by `PALM_Q_IMU`. The world's x is east and its y magnetic north.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.config import setting, validate
from knuckle.hardware.spec.hand_spec import Array, HandSpec

RATE_HZ = 120
GRAVITY = np.array([0.0, 0.0, 9.80665])
PALM_Q_IMU = rotations.IDENTITY


@dataclass(frozen=True)
class ImuNoise:
    """Sizes of what the sensor adds, those of a common MEMS part (MPU-9250 class)."""

    gyro_noise: float = setting(1.7e-3, "white noise of one gyroscope sample", low=0.0, high=1.0, unit="rad/s")
    gyro_bias: float = setting(5e-3, "deviation of the constant gyroscope bias", low=0.0, high=0.2, unit="rad/s")
    gyro_walk: float = setting(5e-5, "growth of the bias in one root second", low=0.0, high=0.1, unit="rad/s/sqrt(s)")
    accel_noise: float = setting(0.03, "white noise of one accelerometer sample", low=0.0, high=5.0, unit="m/s^2")
    accel_bias: float = setting(0.03, "deviation of the constant accelerometer bias", low=0.0, high=2.0, unit="m/s^2")
    mag_noise: float = setting(4e-7, "white noise of one magnetometer sample", low=0.0, high=1e-4, unit="T")
    mag_bias: float = setting(1e-6, "deviation of the constant magnetometer bias", low=0.0, high=1e-4, unit="T")
    field: float = setting(4.9e-5, "strength of the earth's field", low=1e-6, high=1e-4, unit="T")
    dip: float = setting(1.15, "angle of the field below the horizon", low=-1.57, high=1.57, unit="rad")
    disturbance: float = setting(2.5e-5, "strength of the passing magnet's field", low=0.0, high=1e-3, unit="T")
    disturbance_every: float = setting(12.0, "mean time between passages", low=0.1, high=1e6, unit="s")
    disturbance_length: float = setting(2.0, "time one passage takes", low=0.05, high=60.0, unit="s")


@dataclass(frozen=True)
class ImuSamples:
    """Samples in time order: ``stamp_ns`` (n,) int64; ``gyro`` rad/s, ``accel`` (specific force) m/s^2 and ``mag`` T,
    each (n, 3) in the frame ``palm_imu``; ``disturbed`` (n,) whether the magnet was near."""

    stamp_ns: NDArray[np.int64]
    gyro: Array
    accel: Array
    mag: Array
    disturbed: NDArray[np.bool_]


class PalmImu:
    """A stream of samples from ``start_ns`` on; the same seed gives the same stream however it is cut into reads."""

    def __init__(self, hand: HandSpec, noise: ImuNoise | None = None, *, seed: int = 0, start_ns: int = 0) -> None:
        self.noise = validate(noise if noise is not None else ImuNoise(), where="imu")
        self._rng = np.random.default_rng(seed)
        self._start_ns, self._count = start_ns, 0
        self._orientation = rotations.multiply(np.array(hand.mount_quaternion), PALM_Q_IMU)
        back = rotations.conjugate(self._orientation)
        self._force, self._field = rotations.rotate(back, GRAVITY), rotations.rotate(back, self.earth_field)
        n = self.noise
        self._gyro_bias = n.gyro_bias * self._rng.standard_normal(3)
        self._accel_bias = n.accel_bias * self._rng.standard_normal(3)
        self._mag_bias = n.mag_bias * self._rng.standard_normal(3)
        self._passage_start = self._rng.exponential(n.disturbance_every)
        self._passage_axis = self._direction()

    @property
    def orientation(self) -> Array:
        """The truth: world_T_imu, w x y z (4,), at all times."""
        return self._orientation.copy()

    @property
    def earth_field(self) -> Array:
        """The undisturbed magnetic field (3,) in the world frame, T."""
        n = self.noise
        return n.field * np.array([0.0, math.cos(n.dip), -math.sin(n.dip)])

    def read(self, to_ns: int) -> ImuSamples:
        """All samples since the last read up to ``to_ns``, at 120 Hz; none (n = 0) where no sample is due."""
        rows: list[tuple[Array, Array, Array, bool]] = []
        stamps: list[int] = []
        while (stamp := self._start_ns + self._count * 1_000_000_000 // RATE_HZ) <= to_ns:
            stamps.append(stamp)
            rows.append(self._sample(self._count / RATE_HZ))
            self._count += 1
        columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
        return ImuSamples(
            stamp_ns=np.array(stamps, dtype=np.int64),
            gyro=np.array(columns[0], dtype=np.float64).reshape(-1, 3),
            accel=np.array(columns[1], dtype=np.float64).reshape(-1, 3),
            mag=np.array(columns[2], dtype=np.float64).reshape(-1, 3),
            disturbed=np.array(columns[3], dtype=bool),
        )

    def _sample(self, t: float) -> tuple[Array, Array, Array, bool]:
        n, rng = self.noise, self._rng
        self._gyro_bias = self._gyro_bias + n.gyro_walk / math.sqrt(RATE_HZ) * rng.standard_normal(3)
        gyro = self._gyro_bias + n.gyro_noise * rng.standard_normal(3)
        accel = self._force + self._accel_bias + n.accel_noise * rng.standard_normal(3)
        magnet = self._magnet(t)
        mag = self._field + magnet * self._passage_axis + self._mag_bias + n.mag_noise * rng.standard_normal(3)
        return gyro, accel, mag, magnet > 0.05 * n.field

    def _magnet(self, t: float) -> float:
        """The field of the passing magnet at ``t`` s, T: a smooth bump; a new passage is drawn when one is over."""
        n = self.noise
        while t > self._passage_start + n.disturbance_length:
            self._passage_start += n.disturbance_length + self._rng.exponential(n.disturbance_every)
            self._passage_axis = self._direction()
        phase = (t - self._passage_start) / n.disturbance_length
        return n.disturbance * math.sin(math.pi * phase) ** 2 if 0.0 < phase < 1.0 else 0.0

    def _direction(self) -> Array:
        v = self._rng.standard_normal(3)
        return np.asarray(v / np.linalg.norm(v))
