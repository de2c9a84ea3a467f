"""Depth images to points of hand_base inside a box, with the rays of every pixel computed once for a camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.contracts import Extrinsics, Intrinsics

Float32 = NDArray[np.float32]


class Projection:
    """The pinhole of one camera at one place: pixel (column u, row v) of depth d is ``position + d * ray[v, u]``.

    Depth is along the optical axis, as z16 cameras and renderers give it, not along the ray.
    """

    def __init__(self, intrinsics: Intrinsics, extrinsics: Extrinsics) -> None:
        self.intrinsics, self.extrinsics = intrinsics, extrinsics
        u, v = np.meshgrid(np.arange(intrinsics.width), np.arange(intrinsics.height))
        x, y = (u - intrinsics.cx) / intrinsics.fx, (v - intrinsics.cy) / intrinsics.fy
        optical = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        rays = rotations.rotate(np.array(extrinsics.quaternion), optical)
        self._rays: tuple[Float32, ...] = tuple(np.ascontiguousarray(rays[:, k], dtype=np.float32) for k in range(3))
        self._origin = np.array(extrinsics.position, dtype=np.float32)

    def points_inside(self, depth: NDArray[np.uint16], scale_m: float, low: Float32, high: Float32) -> Float32:
        """Points (n, 3) float32 in m, hand_base, row by row, of the pixels whose point lies in [low, high) (3,).

        Pixels of depth 0 (nothing measured) give none. Raises InputError where the image is not of the camera's size.
        """
        if depth.shape != (self.intrinsics.height, self.intrinsics.width):
            right = f"{self.intrinsics.height} rows of {self.intrinsics.width} as in the camera's intrinsics"
            raise InputError(f"a depth image of shape {depth.shape}", where="depth", right=right)
        metres = depth.reshape(-1).astype(np.float32) * np.float32(scale_m)
        kept: NDArray[np.bool_] = metres > 0
        axes = []
        for k in range(3):
            axis = metres * self._rays[k] + self._origin[k]
            kept &= (axis >= low[k]) & (axis < high[k])
            axes.append(axis)
        inside = np.flatnonzero(kept)
        return np.stack([axis[inside] for axis in axes], axis=1)
