"""Signed distance from points to a primitive: exact, in closed form, negative inside."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, Primitive, Quat


def signed_distance(primitive: Primitive, points: ArrayLike) -> Array:
    """Distance in m (...) from ``points`` (..., 3), given in the link's frame, to the primitive's surface."""
    shifted = np.asarray(points, dtype=np.float64) - np.array(primitive.position)
    p = shifted @ _axes(primitive.quaternion)
    if primitive.kind == "sphere":
        return np.asarray(np.linalg.norm(p, axis=-1) - primitive.size[0])
    if primitive.kind == "capsule":
        radius, half = primitive.size
        p[..., 2] -= np.clip(p[..., 2], -half, half)
        return np.asarray(np.linalg.norm(p, axis=-1) - radius)
    if primitive.kind == "cylinder":
        radius, half = primitive.size
        d = np.stack([np.hypot(p[..., 0], p[..., 1]) - radius, np.abs(p[..., 2]) - half], axis=-1)
    else:
        d = np.abs(p) - np.array(primitive.size)
    outside = np.linalg.norm(np.maximum(d, 0.0), axis=-1)
    return np.asarray(outside + np.minimum(d.max(axis=-1), 0.0))


@lru_cache(maxsize=1024)
def _axes(quaternion: Quat) -> Array:
    """The primitive's axes as columns (3, 3): a row vector times them is that vector in the primitive's frame."""
    return rotations.to_matrix(np.array(quaternion))
