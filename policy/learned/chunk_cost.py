"""What a chunk costs by where it leads: one rule, whether a simulation foretells that or a network."""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array

END, OFFSET, ESCAPE, ESCAPE_RADIUS_M = 2.0, 4.5, 30.0, 0.07
"""What counts beside the mean angle, rad: the angle at the end; per m, how far off the middle the object ends, and how
far beyond the radius where it begins to escape."""


def chunk_costs(angles: Array, position: Array) -> Array:
    """The cost (n,) of ways with ``angles`` (n, steps), rad, that led to ``position`` (n, 3), m; infinite for a way on
    which the simulation broke down."""
    offset = np.linalg.norm(position[:, :2], axis=-1)
    costs = angles.mean(axis=1) + END * angles[:, -1] + OFFSET * offset
    costs += ESCAPE * np.maximum(offset - ESCAPE_RADIUS_M, 0.0)
    return np.asarray(np.where(np.isfinite(costs), costs, np.inf))
