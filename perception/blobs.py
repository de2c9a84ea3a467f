"""Depth images to boxes: whatever stands out of the table and the hand, each thing by its connected pixels.

What is known is taken away first: the table's plane, and every point within a margin of a link of the hand at its
present joint angles. What is left falls into components of neighbouring pixels between which depth does not jump. A
component that lies for the most part on the object in hand is the object's; the others are strangers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from knuckle.core import rotations
from knuckle.core.config import setting, validate
from knuckle.core.errors import ConfigError, InputError
from knuckle.hardware.spec.contracts import DepthFrame, Extrinsics, Intrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import base_to_world, world_to_base
from knuckle.perception.known_object import KnownObject
from knuckle.perception.labels import Labeller

TRIMMED = 0.02
"""Share of a component's points left out at each end of each axis: flying pixels at depth edges."""
SMALLEST_M = 0.005
"""No extent is told below this: a surface seen from its side has a thickness that a camera cannot tell."""


@dataclass(frozen=True)
class BlobConfig:
    """Where things are looked for, in the world frame, and what is taken for known."""

    watch_low_x: float = setting(-0.5, "lower end of the watched box", low=-10.0, high=10.0, unit="m")
    watch_low_y: float = setting(-0.9, "lower end of the watched box", low=-10.0, high=10.0, unit="m")
    watch_low_z: float = setting(0.01, "lower end of the box: what is nearer to the table is the table's", unit="m")
    watch_high_x: float = setting(1.0, "upper end of the watched box", low=-10.0, high=10.0, unit="m")
    watch_high_y: float = setting(0.9, "upper end of the watched box", low=-10.0, high=10.0, unit="m")
    watch_high_z: float = setting(0.8, "upper end of the watched box", low=-10.0, high=10.0, unit="m")
    stride: int = setting(2, "of so many rows and columns one is looked at", low=1, high=16)
    link_margin_m: float = setting(0.012, "points so near a link are the hand's", low=0.0, high=0.1, unit="m")
    object_margin_m: float = setting(0.025, "points so near the object in hand are its", low=0.0, high=0.2, unit="m")
    jump_m: float = setting(0.03, "neighbours whose depth differs by more are two things", low=0.001, high=1.0)
    least_pixels: int = setting(12, "smaller components are noise (pixels that were looked at)", low=1, high=10_000)


@dataclass(frozen=True)
class Blobs:
    """The strangers in one frame, the largest first.

    ``boxes`` (M, 4) centre, width, height in px of the whole image; ``centres`` (M, 3) and ``sizes`` (M, 3) of what is
    seen of each, in m along the world's axes; ``scores`` (M,), n / (n + least_pixels) of its n pixels, so 0.5 to 1.
    """

    stamp_ns: int
    boxes: Array
    centres: Array
    sizes: Array
    scores: Array

    def __len__(self) -> int:
        return len(self.scores)


class BlobFinder:
    """Finds what is neither table, hand nor ``known``, the object in hand (None where nothing is known of one).

    The same frame, angles and object give the same bits. Raises ConfigError for a watched box that is empty.
    """

    def __init__(self, spec: HandSpec, extrinsics: Extrinsics, config: BlobConfig = BlobConfig()) -> None:
        self.config = validate(config, where="blobs")
        self.spec, self.extrinsics = spec, extrinsics
        self.known: KnownObject | None = None
        self._low = np.array([config.watch_low_x, config.watch_low_y, config.watch_low_z])
        self._high = np.array([config.watch_high_x, config.watch_high_y, config.watch_high_z])
        for k, axis in enumerate("xyz"):
            if not self._low[k] < self._high[k]:
                raise ConfigError("the box is empty", where=f"blobs.watch_low_{axis}", right=f"below watch_high_{axis}")
        self._labeller = Labeller(spec, config.link_margin_m, 0.0)
        self._origin = base_to_world(spec, extrinsics.position)
        self._intrinsics: Intrinsics | None = None

    def build(self, frame: DepthFrame, q: Array) -> Blobs:
        """The strangers in ``frame`` with the joints at ``q`` (dof,) in rad; none where nothing was measured.

        Depth of 0 or not finite is nothing measured. Raises InputError where the image is not of its intrinsics' size.
        """
        k, s = frame.intrinsics, self.config.stride
        if frame.depth.shape != (k.height, k.width):
            right = f"{k.height} rows of {k.width} as in its intrinsics"
            raise InputError(f"a depth image of shape {frame.depth.shape}", where="blobs", right=right)
        self._look_through(k)
        depth = frame.depth[::s, ::s].astype(np.float64) * frame.scale_m
        depth[~np.isfinite(depth)] = 0.0
        points = self._origin + depth[..., None] * self._rays
        kept = (depth > 0.0) & ((points >= self._low) & (points < self._high)).all(axis=-1)
        where = np.flatnonzero(kept)
        seen = points.reshape(-1, 3)[where]
        on_hand = np.isfinite(self._labeller.nearest_link(world_to_base(self.spec, seen), q)[0])
        kept.reshape(-1)[where[on_hand]] = False
        number, count = components(np.where(kept, depth, 0.0), self.config.jump_m)
        return self._told(frame.stamp_ns, seen[~on_hand], where[~on_hand], number.reshape(-1)[where[~on_hand]], count)

    def _look_through(self, k: Intrinsics) -> None:
        """The rays of the pixels that are looked at, in the world: once for a camera."""
        if k == self._intrinsics:
            return
        u, v = np.meshgrid(np.arange(0, k.width, self.config.stride), np.arange(0, k.height, self.config.stride))
        optical = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(u.shape)], axis=-1)
        turned = rotations.multiply(np.array(self.spec.mount_quaternion), np.array(self.extrinsics.quaternion))
        self._rays, self._intrinsics = rotations.rotate(turned, optical), k
        self._columns = u.shape[1]

    def _told(
        self, stamp_ns: int, points: Array, where: NDArray[np.intp], number: NDArray[np.int32], count: int
    ) -> Blobs:
        """The components that are large enough and no object's; ``number`` (n,) says which each point belongs to."""
        pixels = np.bincount(number, minlength=count)
        large = np.flatnonzero(pixels >= self.config.least_pixels)
        rows: list[tuple[Array, Array, Array, int]] = []
        for component in large[np.argsort(-pixels[large], kind="stable")]:
            mine = number == component
            own = points[mine]
            if self.known is not None:
                near = self.known.distance(own) <= self.config.object_margin_m
                if 2 * near.sum() >= len(own):
                    continue
            low, high = np.quantile(own, [TRIMMED, 1.0 - TRIMMED], axis=0)
            size = np.maximum(high - low, SMALLEST_M)
            rows.append((self._box(where[mine]), 0.5 * (low + high), size, int(pixels[component])))
        n = np.array([row[3] for row in rows], dtype=np.float64)
        boxes = np.array([row[0] for row in rows]).reshape(-1, 4)
        centres = np.array([row[1] for row in rows]).reshape(-1, 3)
        sizes = np.array([row[2] for row in rows]).reshape(-1, 3)
        return Blobs(stamp_ns, boxes, centres, sizes, n / (n + self.config.least_pixels))

    def _box(self, where: NDArray[np.intp]) -> Array:
        """Centre, width, height in px of the whole image, of pixels that were looked at."""
        s = self.config.stride
        v, u = np.divmod(where, self._columns)
        width, height = u.max() - u.min() + 1, v.max() - v.min() + 1
        corner = np.array([u.min(), v.min(), width, height], dtype=np.float64) * s
        return np.array([corner[0] + 0.5 * (corner[2] - s), corner[1] + 0.5 * (corner[3] - s), corner[2], corner[3]])


def components(depth: Array, jump_m: float) -> tuple[NDArray[np.int32], int]:
    """Number (height, width) of the component of each pixel, and how many there are; -1 where ``depth`` is 0.

    Two pixels above 0 that touch, corners too, are one component's where their depths differ by at most ``jump_m``.
    """
    measured = depth > 0.0
    index = np.full(depth.shape, -1, dtype=np.int32)
    n = int(measured.sum())
    index[measured] = np.arange(n, dtype=np.int32)
    if n == 0:
        return index, 0
    rows, columns = [], []
    for one, other in _neighbours(depth.shape):
        joined = measured[one] & measured[other] & (np.abs(depth[one] - depth[other]) <= jump_m)
        rows.append(index[one][joined])
        columns.append(index[other][joined])
    pair = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(pair[0]), dtype=np.int8), pair), shape=(n, n))
    count, number = connected_components(graph, directed=False)
    out = np.full(depth.shape, -1, dtype=np.int32)
    out[measured] = number
    return out, int(count)


def _neighbours(shape: tuple[int, ...]) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Pairs of views whose elements touch: to the right, down, and along both diagonals."""
    every, front, back = slice(None), slice(None, -1), slice(1, None)
    return [
        ((every, front), (every, back)),
        ((front, every), (back, every)),
        ((front, front), (back, back)),
        ((front, back), (back, front)),
    ]
