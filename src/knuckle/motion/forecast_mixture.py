"""What a forecaster gives a node or an evaluation: modes of Gaussian positions as arrays, checked, without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ForecastMixture:
    """K modes for each of N tracks at S times, in the frame and unit (m) of the history that was given.

    ``times_s`` (S,) after the history's newest row, ``probability`` (N, K) with rows that sum to 1, ``mean``
    (N, K, S, D), ``covariance`` (N, K, S, D, D) in m^2, D 2 or 3. Raises InputError where shapes do not fit or a value
    is not finite.
    """

    times_s: Array
    probability: Array
    mean: Array
    covariance: Array

    def __post_init__(self) -> None:
        shape = self.mean.shape
        fits = len(shape) == 4 and self.covariance.shape == (*shape, shape[-1]) and shape[2:3] == self.times_s.shape
        if not fits or self.probability.shape != shape[:2]:
            shapes = tuple(a.shape for a in (self.times_s, self.probability, self.mean, self.covariance))
            right = "(S,), (N, K), (N, K, S, D) and (N, K, S, D, D)"
            raise InputError(f"a forecast of shapes {shapes}", where="forecast", right=right)
        if not all(np.isfinite(a).all() for a in (self.probability, self.mean, self.covariance)):
            raise InputError("a forecast that is not finite", where="forecast", right="a history in m within its range")

    def __len__(self) -> int:
        return len(self.mean)

    def by_probability(self) -> ForecastMixture:
        """The same with each track's most probable mode first, as the message Forecast has them."""
        order = np.argsort(-self.probability, axis=1, kind="stable")
        rows = np.arange(len(self))[:, None]
        return ForecastMixture(
            self.times_s, self.probability[rows, order], self.mean[rows, order], self.covariance[rows, order]
        )

    def moments(self) -> tuple[Array, Array]:
        """Mean (N, S, D) and covariance (N, S, D, D) of the whole mixture: one Gaussian for each step."""
        weight = self.probability[:, :, None, None]
        mean = (weight * self.mean).sum(axis=1)
        apart = self.mean - mean[:, None]
        spread = self.covariance + apart[..., :, None] * apart[..., None, :]
        return mean, np.asarray((weight[..., None] * spread).sum(axis=1))
