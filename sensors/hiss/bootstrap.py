"""Intervals of mean squared errors and of their ratios by drawing trials anew, the same ones for every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES = 2000
FEWEST = 10
"""Below so many trials blocks of a trial are drawn instead: few trials say little about each other."""
BLOCK = 100
"""Targets of a block: 20 s at 5 Hz, longer than errors stay alike."""


@dataclass(frozen=True)
class Units:
    """What is drawn: ``sums`` (U, M) of squared errors of M models, and ``counts`` (U,) of numbers summed."""

    sums: Array
    counts: Array
    kind: str


def units_of(errors: list[list[Array]]) -> Units:
    """From squared errors (n, T) of each trial and model, ``errors[model][trial]``: trials, or blocks of few ones."""
    trials = len(errors[0])
    sums, counts = [], []
    for k in range(trials):
        own = [of_model[k] for of_model in errors]
        n = len(own[0])
        length = n if trials >= FEWEST else BLOCK
        for at in range(0, n, max(length, 1)):
            part = [rows[at : at + length] for rows in own]
            sums.append([float(rows.sum()) for rows in part])
            counts.append(float(part[0].size))
    return Units(np.array(sums), np.array(counts), "trials" if trials >= FEWEST else "blocks of 20 s")


def intervals(units: Units, rng: np.random.Generator) -> tuple[Array, Array]:
    """95% bounds (M, 2) of each model's mean squared error, and (M, 2) of the first one's by each one's.

    NaN where there is one unit only.
    """
    if len(units.counts) < 2:
        return (nothing := np.full((units.sums.shape[1], 2), np.nan)), nothing
    drawn = rng.integers(0, len(units.counts), (RESAMPLES, len(units.counts)))
    means = units.sums[drawn].sum(axis=1) / units.counts[drawn].sum(axis=1)[:, None]
    ratios = means[:, :1] / np.maximum(means, 1e-300)
    bounds, of_ratios = (np.quantile(values, (0.025, 0.975), axis=0).T for values in (means, ratios))
    return bounds, of_ratios
