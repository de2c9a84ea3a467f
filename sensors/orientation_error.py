"""The error of an orientation against optical truth, as BROAD splits it: total, heading, inclination.

q_e = q_est ⊗ conj(q_opt) is the error in the earth frame; with q_e = w x y z, total = 2 acos|w|, heading =
2 atan|z / w|, inclination = 2 acos sqrt(w^2 + z^2) (Laidig et al., Data 6(7), 2021, section 5). No alignment of any
kind. The arc cosines are written as arc tangents, which keep their digits near 0 and where q_e is not quite unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.sensors.estimator import Array


@dataclass(frozen=True)
class OrientationErrors:
    """Angles in rad, each (...): all in [0, pi]."""

    total: Array
    heading: Array
    inclination: Array


@dataclass(frozen=True)
class OrientationRmse:
    """Root mean squares in degrees over ``n`` samples; NaN where ``n`` is 0."""

    total_deg: float
    heading_deg: float
    inclination_deg: float
    n: int


def errors(estimate: Array, truth: Array) -> OrientationErrors:
    """The errors of ``estimate`` (..., 4) against ``truth`` (..., 4), w x y z; NaN where either has NaN."""
    w, x, y, z = np.moveaxis(rotations.multiply(estimate, rotations.conjugate(truth)), -1, 0)
    return OrientationErrors(
        total=2.0 * np.arctan2(np.sqrt(x * x + y * y + z * z), np.abs(w)),
        heading=2.0 * np.arctan2(np.abs(z), np.abs(w)),
        inclination=2.0 * np.arctan2(np.hypot(x, y), np.hypot(w, z)),
    )


def rmse(estimate: Array, truth: Array, scored: NDArray[np.bool_] | None = None) -> OrientationRmse:
    """Over the samples marked in ``scored`` (N,) (all without it) whose truth is finite; (N, 4) each."""
    keep = np.isfinite(truth).all(axis=-1)
    if scored is not None:
        keep &= scored
    if not keep.any():
        return OrientationRmse(np.nan, np.nan, np.nan, 0)
    e = errors(estimate[keep], truth[keep])
    total, heading, inclination = (
        float(np.degrees(np.sqrt(np.mean(np.square(angle))))) for angle in (e.total, e.heading, e.inclination)
    )
    return OrientationRmse(total, heading, inclination, int(keep.sum()))
