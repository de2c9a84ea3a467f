"""Signed distance from points to primitives: exact, in closed form, negative inside."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, Primitive


class PrimitiveDistances:
    """Distances to ``primitives``, those of a kind at once: for few points calls cost more than arithmetic."""

    def __init__(self, primitives: Sequence[Primitive]) -> None:
        kinds = sorted({p.kind for p in primitives})
        self._groups = [(kind, *_stacked([p for p in primitives if p.kind == kind])) for kind in kinds]

    def __call__(self, points: ArrayLike) -> Array:
        """Distance in m (...) from ``points`` (..., 3), given in the link's frame, to the nearest surface of all."""
        at = np.asarray(points, dtype=np.float64)
        rows = at.reshape(-1, 3)
        near = [_distances(kind, sizes, (rows - places) @ axes) for kind, places, axes, sizes in self._groups]
        return np.asarray(np.concatenate(near).min(axis=0).reshape(at.shape[:-1]))


def signed_distance(primitive: Primitive, points: ArrayLike) -> Array:
    """Distance in m (...) from ``points`` (..., 3), given in the link's frame, to the primitive's surface."""
    return _of_one(primitive)(points)


def _distances(kind: str, sizes: Array, p: Array) -> Array:
    """Distances (P, n) to P primitives of a ``kind``, whose sizes are (P, 1, k), from points (P, n, 3) in their frames;
    ``p`` is written to."""
    if kind == "sphere":
        return np.asarray(np.linalg.norm(p, axis=-1) - sizes[..., 0])
    if kind == "capsule":
        radius, half = sizes[..., 0], sizes[..., 1]
        p[..., 2] -= np.clip(p[..., 2], -half, half)
        return np.asarray(np.linalg.norm(p, axis=-1) - radius)
    if kind == "cylinder":
        radius, half = sizes[..., 0], sizes[..., 1]
        return _off_faces(np.hypot(p[..., 0], p[..., 1]) - radius, np.abs(p[..., 2]) - half)
    return _off_faces(*(np.abs(p[..., k]) - sizes[..., k] for k in range(3)))


def _off_faces(*beyond: Array) -> Array:
    """The distance from a solid bounded by faces at right angles, of points that lie ``beyond`` each of them."""
    # One component after another: a sum over a last axis of three takes several times as long.
    square, deepest = np.maximum(beyond[0], 0.0) ** 2, beyond[0]
    for each in beyond[1:]:
        square += np.maximum(each, 0.0) ** 2
        deepest = np.maximum(deepest, each)
    return np.asarray(np.sqrt(square) + np.minimum(deepest, 0.0))


def _stacked(primitives: Sequence[Primitive]) -> tuple[Array, Array, Array]:
    """Places (P, 1, 3), axes as columns (P, 3, 3), which bring a row vector to their frame, and sizes (P, 1, k)."""
    places = np.array([p.position for p in primitives], dtype=np.float64)[:, None]
    axes = np.stack([rotations.to_matrix(np.array(p.quaternion)) for p in primitives])
    return places, axes, np.array([p.size for p in primitives], dtype=np.float64)[:, None]


@lru_cache(maxsize=1024)
def _of_one(primitive: Primitive) -> PrimitiveDistances:
    return PrimitiveDistances((primitive,))
