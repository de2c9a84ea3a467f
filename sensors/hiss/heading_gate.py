"""How much of a learned correction is taken: all where it is far above its own deviation, none where it is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import setting

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GateConfig:
    """The correction is bounded, and shrunk by what it does not know: VQF is left alone where that is all of it."""

    most: float = setting(1.5, "largest correction", low=0.0, high=3.2, unit="rad")
    doubt: float = setting(1.0, "deviations below which nothing is corrected", low=0.0, high=10.0)


def gated(mean: Array, deviation: Array, config: GateConfig = GateConfig()) -> Array:
    """The correction (...) taken from ``mean`` and ``deviation`` (...), rad: mean (1 - (doubt dev / mean)^2), or 0."""
    size, noise = np.abs(mean), config.doubt * deviation
    known = noise < size
    share = np.where(known, 1.0 - np.square(noise / np.where(known, size, 1.0)), 0.0)
    return np.asarray(np.clip(mean, -config.most, config.most) * share)
