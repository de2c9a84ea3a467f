"""Means and covariance factors from a network's outputs, in numpy; `gaussian` says how they stand there."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LOG_LOW, LOG_HIGH = -6.0, 4.0
"""Bounds of the logs of L's diagonal, in units of the normalised targets."""


def outputs_of(targets: int) -> int:
    """P for ``targets``."""
    return targets + targets * (targets + 1) // 2


def targets_of(outputs: int) -> int:
    """T for P outputs."""
    return round((math.sqrt(9.0 + 8.0 * outputs) - 3.0) / 2.0)


def factors(raw: Array) -> tuple[Array, Array]:
    """Means (..., T) and factors L (..., T, T) from outputs (..., P), for temperature 1."""
    t = targets_of(raw.shape[-1])
    lower = np.zeros((*raw.shape[:-1], t, t))
    rows, columns = np.tril_indices(t, -1)
    lower[..., rows, columns] = raw[..., 2 * t :]
    k = np.arange(t)
    lower[..., k, k] = np.exp(np.clip(raw[..., t : 2 * t], LOG_LOW, LOG_HIGH))
    return np.asarray(raw[..., :t]), lower


def distances(raw: Array, target: Array) -> Array:
    """Squared Mahalanobis distances (n,) of normalised targets (n, T) at temperature 1."""
    mean, lower = factors(raw)
    z = np.linalg.solve(lower, (target - mean)[..., None])[..., 0]
    return np.asarray(np.square(z).sum(axis=-1))
