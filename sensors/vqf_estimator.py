"""VQF as a streaming estimator: orientation from gyroscope, accelerometer and, where there is one, magnetometer.

Laidig and Seel, "VQF: Highly accurate IMU orientation estimation with bias estimation and magnetic disturbance
rejection", Information Fusion 91, 2023; the filter itself is the authors' package ``vqf`` (MIT).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from vqf import VQF

from knuckle.core.config import setting, validate
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Array, Estimate, ImuSample

_KIND = "vqf"
_UNKNOWN_HEADING = math.pi / math.sqrt(3.0)  # the deviation of an angle of which nothing is known


@dataclass(frozen=True)
class VqfConfig:
    """The filter's sample rate and time constants (the package's defaults), and the floors of the covariance."""

    rate_hz: float = setting(285.7142857142857, "sample rate of the stream", low=1.0, high=100_000.0, unit="Hz")
    tau_acc_s: float = setting(3.0, "time constant of the inclination correction", low=0.01, high=100.0, unit="s")
    tau_mag_s: float = setting(9.0, "time constant of the heading correction", low=0.01, high=1000.0, unit="s")
    floor_inclination_deg: float = setting(0.5, "inclination deviation that stays", low=0.0, high=90.0, unit="deg")
    floor_heading_deg: float = setting(2.0, "heading deviation that stays", low=0.0, high=180.0, unit="deg")


class VqfEstimator:
    """Full-rate VQF: nine axes where samples carry ``mag``, six where they do not (the heading then drifts freely).

    The covariance is a bound made from what the filter knows of itself, not part of its paper. VQF reports the
    deviation s of its gyroscope bias; a bias error s tilts the inclination by s * tau_acc in the steady state, and
    moves the heading by d, d' = s - d / tau_mag, where the second term holds only while the magnetic field is
    believed. A floor is added (in squares) for what bias does not explain: linear acceleration, a magnetometer's
    calibration, alignment. Their defaults are about what VQF leaves, per axis, on the undisturbed trials of BROAD.
    """

    def __init__(self, config: VqfConfig = VqfConfig()) -> None:
        self.config = validate(config, where="vqf")
        self._dt = 1.0 / config.rate_hz
        self._filter = VQF(self._dt, tauAcc=config.tau_acc_s, tauMag=config.tau_mag_s)
        self._heading_known = False
        self._heading_drift = 0.0
        self._floor_inclination = math.radians(config.floor_inclination_deg) ** 2
        self._floor_heading = math.radians(config.floor_heading_deg) ** 2

    def push(self, stamp_ns: int, sample: ImuSample) -> Estimate:
        """One step of the filter. Without any ``mag`` so far, north is where the sensor first had it."""
        if sample.mag is None:
            self._filter.update(sample.gyr, sample.acc)
        else:
            self._filter.update(sample.gyr, sample.acc, sample.mag)
        return Estimate(stamp_ns, self._filter.getQuat9D(), self._covariance(sample.mag is not None))

    def without_field(self) -> Array:
        """The orientation (4,) that gyroscope and accelerometer alone give: its heading is free, and drifts."""
        return np.asarray(self._filter.getQuat6D())

    def field_disturbed(self) -> bool:
        """Whether the filter takes the newest magnetic field for disturbed."""
        return bool(self._filter.getMagDistDetected())

    def state(self) -> bytes:
        """The filter's full state and the heading's drift."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; the configuration must be the one it was taken under."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._heading_known = values.pop("heading_known")
        self._heading_drift = float(values.pop("heading_drift"))
        self._filter.state = values

    def _values(self) -> dict[str, object]:
        own = {"heading_known": self._heading_known, "heading_drift": self._heading_drift}
        return {**self._filter.state, **own}

    def _covariance(self, has_mag: bool) -> Array:
        bias_sigma = self._filter.getBiasEstimate()[1]
        believed = has_mag and not self._filter.getMagDistDetected()
        if has_mag and not self._heading_known:  # the first field turns the heading to north in one step
            self._heading_known, self._heading_drift = True, 0.0
        pull = self._heading_drift / self.config.tau_mag_s if believed else 0.0
        self._heading_drift = min(self._heading_drift + (bias_sigma - pull) * self._dt, _UNKNOWN_HEADING)
        inclination = (bias_sigma * self.config.tau_acc_s) ** 2 + self._floor_inclination
        heading = self._heading_drift**2 + self._floor_heading if self._heading_known else _UNKNOWN_HEADING**2
        covariance = np.zeros((3, 3))
        covariance[0, 0] = covariance[1, 1] = inclination
        covariance[2, 2] = heading
        return covariance
