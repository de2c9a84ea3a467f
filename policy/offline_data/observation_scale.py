"""Mean and deviation of the observations that a policy learned from: it goes where the policy goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

SMALLEST = 1e-3
"""A column that hardly moves is not blown up: its deviation counts as this."""


@dataclass(frozen=True, eq=False)
class ObservationScale:
    """Observations (..., O) less ``mean`` (O,), over ``std`` (O,), both float32."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.ndim != 1 or not (self.std > 0).all():
            what = f"mean {self.mean.shape} and deviation {self.std.shape}"
            raise InputError(what, where="observation scale", right="(O,) each, deviations above 0")

    @staticmethod
    def of(observations: NDArray[Any]) -> ObservationScale:
        """The scale of ``observations`` (N, O), summed in double precision."""
        mean, std = observations.mean(axis=0, dtype=np.float64), observations.std(axis=0, dtype=np.float64)
        return ObservationScale(mean.astype(np.float32), np.maximum(std, SMALLEST).astype(np.float32))

    def __call__(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """``observations`` scaled."""
        return np.asarray((observations - self.mean) / self.std, dtype=np.float32)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ObservationScale)
            and np.array_equal(self.mean, other.mean)
            and np.array_equal(self.std, other.std)
        )
