"""What the network reads: the input less its rest, cut, with its one-step differences appended, normalised.

As the paper's code: the mean of the first samples is taken off (magnetometers have an offset of their own), values are
cut, differences double the channels. Each step looks at nothing later than its sample, the mean at rest included: it
is the mean of what there was so far until it is complete. `features` and `FeatureStream` give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import setting
from knuckle.sensors.hiss.low_pass import LowPass, LowPassStream, low_pass
from knuckle.sensors.hiss.normaliser import Normaliser

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureConfig:
    """The paper's preprocessing; ``clip`` and ``rest`` are the released code's where a task sets them so."""

    rest: int = setting(
        0, "first samples whose mean is taken off the inputs (the paper's: 5 for skins)", low=0, high=1000
    )
    clip: float = setting(3000.0, "inputs are cut to this on either side, in their units", low=1e-9, high=1e12)
    deltas: bool = setting(True, "append one-step differences")
    low_pass: str = setting("off", "filter of the inputs", choices=("off", "causal", "zero_phase"))
    corner_hz: float = setting(0.75, "corner of the filter", low=1e-3, high=1e4, unit="Hz")

    def width(self, inputs: int) -> int:
        """Features of ``inputs`` channels."""
        return inputs * (2 if self.deltas else 1)


def raw_features(x: Array, config: FeatureConfig, rate_hz: float) -> Array:
    """Inputs (L, D) to features (L, width), not yet normalised."""
    x = low_pass(x, LowPass(config.low_pass, config.corner_hz), rate_hz)
    if config.rest:
        n = np.arange(1, min(config.rest, len(x)) + 1)[:, None]
        so_far = np.cumsum(x[: config.rest], axis=0) / n
        x = x - np.concatenate([so_far, np.broadcast_to(so_far[-1], (len(x) - len(so_far), x.shape[1]))])
    x = np.clip(x, -config.clip, config.clip)
    if not config.deltas:
        return x
    return np.concatenate([x, np.diff(x, axis=0, prepend=x[:1])], axis=1)


def features(x: Array, config: FeatureConfig, rate_hz: float, normaliser: Normaliser) -> NDArray[np.float32]:
    """Inputs (L, D) to what the network reads, (L, width)."""
    return normaliser(raw_features(x, config, rate_hz)).astype(np.float32)


@dataclass
class FeatureStream:
    """One sample at a time. InputError when made with a filter that looks ahead."""

    config: FeatureConfig
    rate_hz: float
    normaliser: Normaliser
    _count: int = 0
    _total: Array = field(default_factory=lambda: np.zeros(0))
    _before: Array = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self._filter = LowPassStream(LowPass(self.config.low_pass, self.config.corner_hz), self.rate_hz)

    def push(self, x: Array) -> NDArray[np.float32]:
        """The features (width,) of the sample ``x`` (D,)."""
        x = self._filter.push(x)
        if self.config.rest:
            if self._count < self.config.rest:
                self._total = x.copy() if self._count == 0 else self._total + x
                self._count += 1
            x = x - self._total / self._count
        x = np.clip(x, -self.config.clip, self.config.clip)
        if self.config.deltas:
            delta = x - (self._before if self._before.size else x)
            self._before = x
            x = np.concatenate([x, delta])
        return self.normaliser(x).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """All that the next `push` depends on, as plain lists."""
        kept = {"total": self._total, "before": self._before, "filter": self._filter.state}
        return {"count": self._count, "filter_shape": list(self._filter.state.shape)} | {
            name: value.ravel().tolist() for name, value in kept.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state`` bit for bit."""
        self._count = int(state["count"])
        self._total, self._before = np.array(state["total"]), np.array(state["before"])
        self._filter.state = np.array(state["filter"]).reshape(state["filter_shape"])
