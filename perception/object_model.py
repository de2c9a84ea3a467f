"""A known object prepared for fitting: its signed distance as a grid of planes, and points on its surface."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.object_shape import ObjectShape, bounds

Floats = NDArray[np.floating[Any]]  # float32 where there are many

_PROBE_M = 5e-4
VIEWS, DENSE = 200, 800
CELL_M = 0.008  # of the image in which the surface hides behind itself: the dense points leave few holes in it


class ObjectModel:
    """``thing`` with one plane a grid cell: the distance near the cell's centre to first order, from the exact one.

    A look-up is one gather, where the exact distance costs a rotation a primitive; at ``spacing_m`` 3 mm the two
    differ by less than half a millimetre beside the surface. ``surface`` (n, 3) are points on it and ``normals``
    (n, 3) their outward normals, all in the object's frame, m.
    """

    def __init__(self, thing: ObjectShape, spacing_m: float = 0.003, margin_m: float = 0.03, points: int = 300) -> None:
        self.thing, self.spacing = thing, spacing_m
        low, high = bounds(thing.primitives)
        self.radius = float(np.linalg.norm(np.maximum(np.abs(low), np.abs(high))))
        self._low = (low - margin_m).astype(np.float32)
        self._shape = np.ceil((high - low + 2.0 * margin_m) / spacing_m).astype(np.int64) + 1
        self._planes = self._tabulate()
        cloud = thing.cloud(points)
        self.surface = cloud.astype(np.float32)
        self.normals = _normals(thing, cloud).astype(np.float32)
        self._views = _sphere(VIEWS)
        dense = thing.cloud(DENSE)
        normals = _normals(thing, dense)
        self._seen_middles = np.array([_seen_middle(dense, normals, view) for view in self._views])

    def distance(self, points: Floats) -> tuple[Floats, Floats]:
        """Signed distance (...) in m of ``points`` (..., 3) float32 and its gradient (..., 3), object frame.

        Beyond the grid the plane of its nearest cell goes on.
        """
        cell = ((points - self._low) * np.float32(1.0 / self.spacing) + np.float32(0.5)).astype(np.int32)
        nx, ny, nz = (int(n) for n in self._shape)
        i = np.minimum(np.maximum(cell[..., 0], 0), nx - 1)
        i *= ny
        i += np.minimum(np.maximum(cell[..., 1], 0), ny - 1)
        i *= nz
        i += np.minimum(np.maximum(cell[..., 2], 0), nz - 1)
        plane = self._planes[i]
        gradient = plane[..., :3]
        return np.einsum("...k,...k->...", gradient, points) + plane[..., 3], gradient

    def seen_middle(self, towards: Array) -> Array:
        """The middle (h, 3) of the surface that is seen from afar, from the unit directions ``towards`` (h, 3)."""
        nearest = np.argmax(towards @ self._views.T, axis=1)
        return np.asarray(self._seen_middles[nearest])

    def _tabulate(self) -> Floats:
        """Rows (cells, 4) of gradient and offset, cells in the order of x, y, z."""
        axes = [self._low[k] + self.spacing * np.arange(self._shape[k]) for k in range(3)]
        centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float64)
        value = self.thing.distance(centres)
        gradient = np.stack([np.gradient(value, self.spacing, axis=k) for k in range(3)], axis=-1)
        offset = value - np.sum(gradient * centres, axis=-1)
        return np.concatenate([gradient, offset[..., None]], axis=-1).reshape(-1, 4).astype(np.float32)


def _normals(thing: ObjectShape, points: Array) -> Array:
    """Outward unit normals (n, 3) by central differences of the exact distance."""
    steps = _PROBE_M * np.eye(3)
    slopes = [thing.distance(points + step) - thing.distance(points - step) for step in steps]
    gradient = np.stack(slopes, axis=-1)
    return np.asarray(gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-12))


def _sphere(n: int) -> Array:
    """``n`` unit vectors (n, 3) spread evenly (a Fibonacci lattice)."""
    z = 1.0 - (2.0 * np.arange(n) + 1.0) / n
    azimuth = np.pi * (3.0 - 5.0**0.5) * np.arange(n)
    r = np.sqrt(1.0 - z * z)
    return np.stack([r * np.cos(azimuth), r * np.sin(azimuth), z], axis=1)


def _seen_middle(points: Array, normals: Array, view: Array) -> Array:
    """The middle (3,) of those of the surface's ``points`` that an eye far away along ``view`` sees."""
    aside = np.cross(view, np.eye(3)[np.argmin(np.abs(view))])
    aside /= np.linalg.norm(aside)
    image = np.stack([points @ aside, points @ np.cross(view, aside)], axis=1)
    cell = np.floor(image / CELL_M).astype(np.int64)
    cell -= cell.min(axis=0)
    index = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    height = points @ view
    front = np.full(index.max() + 1, -np.inf)
    np.maximum.at(front, index, height)
    seen = (height > front[index] - CELL_M) & (normals @ view > 0.1)
    return np.asarray(points[seen].mean(axis=0) if seen.any() else points.mean(axis=0))
