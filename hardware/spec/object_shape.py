"""The shape of an object as data: primitives about its centre of mass, drawn or sampled without a simulator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Link, Primitive
from knuckle.hardware.spec.link_cloud import link_cloud
from knuckle.hardware.spec.primitive_distance import PrimitiveDistances


@dataclass(frozen=True)
class ObjectShape:
    """A rigid object of uniform density: ``mass`` kg, ``primitives`` in the object's frame, whose origin is the centre
    of mass; ``colour`` red green blue, 0 to 1."""

    name: str
    mass: float
    primitives: tuple[Primitive, ...]
    colour: tuple[float, float, float]

    @property
    def extent(self) -> Array:
        """Side lengths (3,) of the bounding box in the object's frame, m."""
        low, high = bounds(self.primitives)
        return np.asarray(high - low)

    def distance(self, points: Array) -> Array:
        """Signed distance in m (...) from ``points`` (..., 3), object frame, to the surface (exact outside)."""
        return self._distances(points)

    @cached_property
    def _distances(self) -> PrimitiveDistances:
        return PrimitiveDistances(self.primitives)

    def cloud(self, n: int, seed: int = 0) -> Array:
        """``n`` points (n, 3) on the outer surface, object frame, uniform by area, the same for the same seed."""
        body = Link(self.name, None, None, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), self.mass, self.primitives)
        alone = HandSpec(self.name, (), (body,), (), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), 1.0, 1.0)
        return link_cloud(alone, n, seed).points


def shape(name: str, mass: float, parts: list[Primitive], colour: tuple[float, float, float]) -> ObjectShape:
    """An ObjectShape from ``parts`` placed anywhere: they are shifted so that the centre of mass is the origin.

    Where parts overlap their volumes are both counted, as the simulator counts them.
    """
    volumes = np.array([p.volume for p in parts])
    centre = volumes @ np.array([p.position for p in parts]) / volumes.sum()
    return ObjectShape(name, mass, tuple(_moved(p, -centre) for p in parts), colour)


def bounds(primitives: tuple[Primitive, ...]) -> tuple[Array, Array]:
    """Lowest and highest corner (3,) of the box around ``primitives``, m."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for p in primitives:
        reach = _reach(p)
        low = np.minimum(low, np.array(p.position) - reach)
        high = np.maximum(high, np.array(p.position) + reach)
    return low, high


def _reach(p: Primitive) -> Array:
    """Half extents (3,) of a primitive's bounding box along the axes of its link."""
    turn = rotations.to_matrix(np.array(p.quaternion))
    if p.kind == "box":
        return np.asarray(np.abs(turn) @ np.array(p.size))
    if p.kind == "sphere":
        return np.full(3, p.size[0])
    radius, half = p.size
    along = np.abs(turn[:, 2])
    if p.kind == "capsule":
        return np.asarray(along * half + radius)
    return np.asarray(along * half + radius * np.sqrt(np.maximum(1.0 - along**2, 0.0)))


def _moved(p: Primitive, by: Array) -> Primitive:
    x, y, z = (float(v) for v in np.array(p.position) + by)
    return Primitive(p.kind, p.size, (x, y, z), p.quaternion)
