"""From the two topics of an IMU to estimates: pairing, guard, estimator. The node and the replay both run this."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

from knuckle.core.config import setting, validate
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Array, Estimate, Estimator, ImuSample
from knuckle.sensors.orientation_estimators import ESTIMATORS, orientation_estimator
from knuckle.sensors.stamp_pairing import StampPairing
from knuckle.sensors.stream_guard import GuardConfig, Guarded, StreamGuard

_KIND = "imu_stream"
E = TypeVar("E")


@dataclass(frozen=True)
class ImuStreamConfig:
    """What a stream needs to know of its sensor; the guard's and the filter's other settings are their defaults."""

    rate_hz: float = setting(285.7142857142857, "sample rate of the stream", low=1.0, high=1e5, unit="Hz")
    magnetometer: bool = setting(True, "whether a magnetic field comes with each reading")
    gyr_limit: float = setting(34.8, "angular rate of saturation (2000 deg/s)", low=0.1, high=1e3, unit="rad/s")
    acc_limit: float = setting(156.8, "acceleration of saturation (16 g)", low=1.0, high=1e5, unit="m/s^2")
    long_gap_s: float = setting(0.5, "gaps from this on reset the estimator", low=0.01, high=100.0, unit="s")
    estimator: str = setting("vqf", "what estimates the orientation", choices=tuple(ESTIMATORS))


class PairedStream(Generic[E]):
    """Readings and fields of one IMU in, estimates of whatever ``estimator`` makes of them out."""

    def __init__(self, config: ImuStreamConfig, estimator: Guarded[ImuSample, E]) -> None:
        self.config = validate(config, where="stream")
        self._pairing = StampPairing(expects_mag=config.magnetometer)
        self._newest_ns: int | None = None
        guard = GuardConfig(
            rate_hz=config.rate_hz,
            gyr_limit=config.gyr_limit,
            acc_limit=config.acc_limit,
            long_gap_s=config.long_gap_s,
        )
        self._guard = StreamGuard(estimator, guard)

    def imu(self, stamp_ns: int, gyr: Array, acc: Array) -> list[E]:
        """Take a reading, ``gyr`` (3,) rad/s and ``acc`` (3,) m/s^2; returns the estimates it completes, in order."""
        return self._push(self._pairing.imu(stamp_ns, gyr, acc))

    def mag(self, stamp_ns: int, mag: Array) -> list[E]:
        """Take a magnetic field (3,) in T; returns the estimates it completes, in order."""
        return self._push(self._pairing.mag(stamp_ns, mag))

    def counts(self) -> dict[str, int]:
        """The guard's counts, and of the pairing ``unpaired`` and ``unused`` (see StampPairing)."""
        pairing = {"unpaired": self._pairing.unpaired, "unused": self._pairing.unused}
        return {**asdict(self._guard.counts), **pairing}

    def rate_hz(self) -> float:
        """The rate at which samples come."""
        return self._guard.rate_hz()

    def state(self) -> bytes:
        """All that estimates after the newest one depend on, but for readings that still wait for their field."""
        stamp_ns = 0 if self._newest_ns is None else self._newest_ns
        values = {"stamp_ns": stamp_ns, "guard": self._guard.state().decode()}
        return estimator_state.encode(_KIND, values)

    def restore(self, state: bytes) -> int:
        """Go on from ``state`` bit for bit; returns the stamp it was taken at: feed what has later stamps, all of it.

        Raises InputError where the state is not of an ``imu_stream`` of this configuration.
        """
        values = estimator_state.decode(_KIND, state, {"stamp_ns": 0, "guard": ""})
        self._guard.restore(values["guard"].encode())
        self._pairing.clear()
        stamp_ns: int = values["stamp_ns"]
        self._newest_ns = stamp_ns
        return stamp_ns

    def _push(self, samples: list[tuple[int, ImuSample]]) -> list[E]:
        estimates = []
        for stamp_ns, sample in samples:
            self._newest_ns = stamp_ns
            estimate = self._guard.push(stamp_ns, sample)
            if estimate is not None:
                estimates.append(estimate)
        return estimates


class ImuStream(PairedStream[Estimate]):
    """Orientations. Another ``estimator`` may stand in for the one that is configured."""

    def __init__(self, config: ImuStreamConfig = ImuStreamConfig(), estimator: Estimator | None = None) -> None:
        config = validate(config, where="stream")
        super().__init__(config, estimator or orientation_estimator(config.estimator, config.rate_hz))
