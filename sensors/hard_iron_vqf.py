"""VQF whose magnetometer is corrected for hard iron on the way; plain VQF, to the bit, until that is believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Estimate, ImuSample
from knuckle.sensors.hard_iron import HardIron, HardIronConfig
from knuckle.sensors.vqf_estimator import VqfConfig, VqfEstimator

_KIND = "vqf-hard-iron"


@dataclass(frozen=True)
class HardIronVqfConfig(HardIronConfig):
    """Settings of the correction; the filter's other settings are its defaults."""

    rate_hz: float = setting(285.7142857142857, "sample rate of the stream", low=1.0, high=100_000.0, unit="Hz")


class HardIronVqfEstimator:
    """Nine axes; samples without ``mag`` go to VQF as they are. A reading corrects those after it, never itself."""

    def __init__(self, config: HardIronVqfConfig = HardIronVqfConfig()) -> None:
        self.config = validate(config, where=_KIND)
        self._inner = VqfEstimator(VqfConfig(rate_hz=config.rate_hz))
        self._every = max(1, round(config.period_s * config.rate_hz))
        self._iron = HardIron(config)
        self._since = 0

    def push(self, stamp_ns: int, sample: ImuSample) -> Estimate:
        """One step of the filter; at times one of the correction."""
        if sample.mag is None:
            return self._inner.push(stamp_ns, sample)
        estimate = self._inner.push(stamp_ns, ImuSample(sample.gyr, sample.acc, sample.mag - self._iron.bias))
        self._since += 1
        if self._since == self._every:
            self._since = 0
            rate = float(np.sqrt(sample.gyr @ sample.gyr))
            self._iron.observe(self._inner.without_field(), sample.mag, rate)
        return estimate

    def state(self) -> bytes:
        """VQF's state and the correction's."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; the configuration must be the one it was taken under."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._inner.restore(values["vqf"].encode())
        self._iron.set_values(values["iron"])
        self._since = values["since"]

    def _values(self) -> dict[str, object]:
        return {"vqf": self._inner.state().decode(), "iron": self._iron.values(), "since": self._since}
