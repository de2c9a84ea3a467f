"""The orientation of one sample at rest: up from the accelerometer, north from the field (TRIAD)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from knuckle.core import rotations


def first_orientation(acc: Sequence[float], mag: Sequence[float] | None) -> list[float]:
    """world_q_sensor, w x y z, that puts ``acc`` (3,) up and the horizontal part of ``mag`` (3,) north.

    Without a field, or with a vertical one, the sensor's axis that is most level points north.
    """
    up = np.asarray(acc, dtype=np.float64)
    up = up / np.linalg.norm(up)
    east = np.zeros(3) if mag is None else np.cross(np.asarray(mag, dtype=np.float64), up)
    if np.linalg.norm(east) < 1e-6 * (np.linalg.norm(mag) if mag is not None else 1.0) or not east.any():
        east = np.cross(np.eye(3)[np.argmin(np.abs(up))], up)
    east = east / np.linalg.norm(east)
    q = rotations.from_matrix(np.stack([east, np.cross(up, east), up]))
    return [float(v) for v in q]
