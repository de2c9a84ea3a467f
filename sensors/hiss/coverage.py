"""How often the truth lies in the region that a covariance promises, and the one number that mends it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Array = NDArray[np.float64]
LEVELS = (0.5, 0.9)


def coverage(squared: Array, targets: int) -> dict[float, float]:
    """Share of squared Mahalanobis distances (n,) inside the ellipsoid of each of `LEVELS`, ideally the level."""
    bounds = {level: float(chi2.ppf(level, targets)) for level in LEVELS}
    return {level: float(np.mean(squared <= bound)) if len(squared) else np.nan for level, bound in bounds.items()}


def temperature_of(squared: Array, targets: int) -> float:
    """The factor of all deviations that fits both levels best: the geometric mean of those that fit each exactly."""
    ratios = [float(np.quantile(squared, level)) / float(chi2.ppf(level, targets)) for level in LEVELS]
    return float(np.clip(np.exp(0.5 * np.mean(np.log(np.maximum(ratios, 1e-12)))), 1e-3, 1e3))
