"""What a point of a cloud belongs to: the object, the table or one link of the hand, by distance to known surfaces."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Link, Primitive
from knuckle.hardware.spec.kinematics import link_poses
from knuckle.hardware.spec.primitive_distance import signed_distance

OBJECT = 0
TABLE = 1
HAND = 2  # the label of link i is HAND + i
MAX_LINKS = 256 - HAND


class Labeller:
    """Labels points (n, 3) of hand_base for a hand whose joint angles are known.

    A point is the hand's when it lies inside a link or within ``hand_margin`` metres of its nearest one, the table's
    when it lies within ``table_margin`` of the plane z = 0 of ``world``, and the nearer of the two where both hold;
    everything else is the object's. Raises InputError for a hand of more links than a uint8 can number.
    """

    def __init__(self, spec: HandSpec, hand_margin: float, table_margin: float) -> None:
        if len(spec.links) > MAX_LINKS:
            raise InputError(f"{len(spec.links)} links", where=f"hand {spec.name}", right=f"at most {MAX_LINKS}")
        self.spec, self.hand_margin, self.table_margin = spec, hand_margin, table_margin
        self._up = rotations.rotate(rotations.conjugate(spec.mount_quaternion), [0.0, 0.0, 1.0])  # of world, in base

    def labels(self, points: Array, q: Array) -> NDArray[np.uint8]:
        """The label (n,) of each of ``points`` (n, 3) float64 in hand_base, for joint angles ``q`` (dof,) in rad."""
        distance, link = self.nearest_link(points, q)
        nx, ny, nz = self._up
        height = np.abs(points[:, 0] * nx + points[:, 1] * ny + points[:, 2] * nz + self.spec.mount_position[2])
        on_hand = distance <= self.hand_margin
        on_table = (height <= self.table_margin) & ~(on_hand & (distance <= height))
        labels = np.where(on_hand, HAND + link, OBJECT)
        return np.where(on_table, TABLE, labels).astype(np.uint8)

    def nearest_link(self, points: Array, q: Array) -> tuple[Array, NDArray[np.intp]]:
        """Signed distance (n,) in m to the nearest link and its index (n,); infinity where none is within the margin.

        Of links equally near, the first in the spec's order is named. Points outside a link's bounding sphere are left
        out before the exact distance is taken, which changes no result.
        """
        positions, quaternions = link_poses(self.spec, q)
        best = np.full(len(points), np.inf)
        nearest = np.zeros(len(points), dtype=np.intp)
        x, y, z = np.ascontiguousarray(points.T)
        for i, (link, (centre, radius)) in enumerate(zip(self.spec.links, self._spheres, strict=True)):
            turn = rotations.to_matrix(quaternions[i])
            cx, cy, cz = positions[i] + rotations.rotate(quaternions[i], centre)
            reach = radius + self.hand_margin
            near = np.flatnonzero((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= reach * reach)
            if not len(near):
                continue
            distance = _to_link(link, _into_frame(points[near], turn, positions[i]))
            closer = (distance < best[near]) & (distance <= self.hand_margin)
            best[near[closer]] = distance[closer]
            nearest[near[closer]] = i
        return best, nearest

    @cached_property
    def _spheres(self) -> list[tuple[Array, float]]:
        """A bounding sphere of each link in its own frame."""
        return [_bounding_sphere(link) for link in self.spec.links]


def _into_frame(points: Array, turn: Array, origin: Array) -> Array:
    """``points`` (n, 3) in the frame at ``origin`` turned by the matrix ``turn``.

    Written out: a BLAS product may sum in another order on another machine, and the labels must not depend on that.
    """
    p = points - origin
    columns = [p[:, 0] * turn[0, k] + p[:, 1] * turn[1, k] + p[:, 2] * turn[2, k] for k in range(3)]
    return np.stack(columns, axis=1)


def _to_link(link: Link, points: Array) -> Array:
    """Signed distance (n,) to the union of a link's primitives."""
    distance = signed_distance(link.primitives[0], points)
    for primitive in link.primitives[1:]:
        distance = np.minimum(distance, signed_distance(primitive, points))
    return distance


def _bounding_sphere(link: Link) -> tuple[Array, float]:
    """Centre (3,) and radius in m: the mean of the primitives' centres, and what then holds them all."""
    centres = np.array([p.position for p in link.primitives], dtype=np.float64)
    centre = centres.mean(axis=0)
    return centre, max(
        float(np.linalg.norm(c - centre)) + _extent(p) for c, p in zip(centres, link.primitives, strict=True)
    )


def _extent(p: Primitive) -> float:
    """The radius in m of the sphere about a primitive's centre that holds it."""
    if p.kind == "capsule":
        return sum(p.size)
    return float(np.linalg.norm(p.size))
