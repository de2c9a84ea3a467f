"""What a learned model says of the targets at one time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StateEstimate:
    """What the targets are at ``stamp_ns``: ``mean`` (T,) and ``covariance`` (T, T), in the card's units.

    ``valid`` is false where it should not be acted upon; ``reason`` says why, or what stands in for the model.
    ``classical``, where there is a classical estimator, is its mean and covariance for the same time.
    """

    stamp_ns: int
    mean: Array
    covariance: Array
    valid: bool = True
    reason: str = ""
    classical: tuple[Array, Array] | None = None
