"""What the camera saw of a scene, as a coarse image: how far it looked in every direction, and what stands free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knuckle.core import rotations
from knuckle.hardware.spec.contracts import Extrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import base_to_world
from knuckle.perception.object_model import Floats

# Half the field of view that is kept, as tangents: that of the paper's camera (64 degrees across) with room.
REACH_U, REACH_V = 0.70, 0.45
CELL = 0.0125  # tangent of a cell: 7 mm at 0.57 m, a little more than a voxel, so that a surface leaves no holes
FAR_M = 1e3
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)


class CameraPlace:
    """The camera in the world: ``position`` (3,) and ``turn`` (3, 3), optical frame to world."""

    def __init__(self, hand: HandSpec, extrinsics: Extrinsics) -> None:
        mount = rotations.normalize(np.array(hand.mount_quaternion))
        quaternion = rotations.multiply(mount, rotations.normalize(np.array(extrinsics.quaternion)))
        self.position: Array = base_to_world(hand, np.array(extrinsics.position))
        self.turn: Array = rotations.to_matrix(quaternion)


class Sight:
    """The cloud as an image of cells: nearest depth of each, and the distance of free cells to what is not free.

    A cell is *free* to its depth where only the table was seen in it, or nothing at all in it and around it (the far
    background). It is not where object or hand were seen, nor where a hole of the depth image may be.
    """

    def __init__(self, camera: CameraPlace, points: Floats, on_table: NDArray[np.bool_]) -> None:
        self._origin = camera.position.astype(np.float32)
        self._turn = camera.turn.astype(np.float32)
        self._shape = (round(2 * REACH_V / CELL), round(2 * REACH_U / CELL))
        cells = self._shape[0] * self._shape[1]
        u, v, z = self._project(points)
        index = self._cell(u, v)
        nearest = np.full(cells, FAR_M, dtype=np.float32)
        order = np.argsort(-z, kind="stable")
        nearest[index[order]] = z[order]
        solid = np.zeros(cells, dtype=bool)
        solid[index[~on_table]] = True
        seen = (nearest < FAR_M).reshape(self._shape)
        hole = ~seen & ndimage.binary_dilation(seen, np.ones((3, 3), dtype=bool))
        free = ~(solid.reshape(self._shape) | hole)
        # A voxel's mean may lie in the cell beside that of the surface it stands for.
        self.nearest: Floats = ndimage.minimum_filter(
            nearest.reshape(self._shape), footprint=_CROSS, mode="nearest"
        ).reshape(-1)
        self.nearest[hole.reshape(-1)] = 0.0
        away = ndimage.distance_transform_edt(free)
        slope_v, slope_u = np.gradient(away)
        away = np.where(free, away - 0.5, 0.0)
        self._away = np.stack([away, slope_u, slope_v], axis=-1).reshape(-1, 3).astype(np.float32)

    def look(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        """For ``points`` (..., 3) in the world: how far before what was seen there each lies, how far aside of what
        could hide it, both (...) in m, and the gradient (..., 3) of the second."""
        u, v, z = self._project(points)
        index = self._cell(u, v)
        before = self.nearest[index] - z
        away = self._away[index]
        slope_u, slope_v = away[..., 1], away[..., 2]
        optical = np.stack([slope_u, slope_v, -(slope_u * u + slope_v * v)], axis=-1)
        return before, away[..., 0] * z * np.float32(CELL), optical @ self._turn.T

    def _project(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        optical = (points - self._origin) @ self._turn
        z = np.maximum(optical[..., 2], np.float32(1e-3))
        return optical[..., 0] / z, optical[..., 1] / z, z

    def _cell(self, u: Floats, v: Floats) -> NDArray[np.int32]:
        rows, columns = self._shape
        column = ((u + np.float32(REACH_U)) * np.float32(1.0 / CELL)).astype(np.int32)
        row = ((v + np.float32(REACH_V)) * np.float32(1.0 / CELL)).astype(np.int32)
        return np.clip(row, 0, rows - 1) * np.int32(columns) + np.clip(column, 0, columns - 1)
