"""Bootstrap intervals: how far a mean over a few runs may be from that over many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS = 10_000


def bootstrap_mean(values: Sequence[float], rng: np.random.Generator) -> tuple[float, float]:
    """The 95% percentile interval of the mean of ``values``, drawn again with replacement; NaN for none.

    With the handful of seeds that one can afford it is too narrow rather than too wide.
    """
    known = np.asarray([value for value in values if np.isfinite(value)], dtype=np.float64)
    if len(known) == 0:
        return float("nan"), float("nan")
    means = known[rng.integers(0, len(known), (DRAWS, len(known)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
