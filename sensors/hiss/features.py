"""What the network reads: the input less its rest, cut, with its one-step differences appended, normalised.

As the paper's code: the mean of the first samples is taken off (magnetometers have an offset of their own), values are
cut, differences double the channels. Each step looks at nothing later than its sample, the mean at rest included: it
is the mean of what there was so far until it is complete. `features` and `FeatureStream` give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
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


class FeatureStream:
    """One sample of D channels at a time. InputError when made with a filter that looks ahead."""

    def __init__(self, config: FeatureConfig, rate_hz: float, normaliser: Normaliser, channels: int) -> None:
        self.config, self.normaliser = config, normaliser
        self._filter = LowPassStream(LowPass(config.low_pass, config.corner_hz), rate_hz, channels)
        self._count = 0
        self._total: Array = np.zeros(channels)
        self._before: Array = np.zeros(channels)

    def push(self, x: Array) -> NDArray[np.float32]:
        """The features (width,) of the sample ``x`` (D,)."""
        x, first = self._filter.push(x), self._count == 0
        if self._count < max(self.config.rest, 1):
            self._total = x.copy() if first else self._total + x
            self._count += 1
        if self.config.rest:
            x = x - self._total / self._count
        x = np.clip(x, -self.config.clip, self.config.clip)
        if self.config.deltas:
            delta = x - (x if first else self._before)
            self._before = x
            x = np.concatenate([x, delta])
        return self.normaliser(x).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """All that the next `push` depends on, as plain lists."""
        return {
            "count": self._count,
            "total": self._total.tolist(),
            "before": self._before.tolist(),
            "filter": self._filter.state.ravel().tolist(),
            "filter_begun": self._filter.begun,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state`` bit for bit."""
        self._count, self._filter.begun = int(state["count"]), bool(state["filter_begun"])
        self._total, self._before = np.array(state["total"]), np.array(state["before"])
        self._filter.state = np.array(state["filter"], dtype=np.float64).reshape(self._filter.state.shape)
