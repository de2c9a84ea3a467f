"""The one cloud builder, for training and for the bus: depth and joint angles to a labelled, voxelised cloud."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import setting, validate
from knuckle.core.errors import ConfigError
from knuckle.hardware.spec.contracts import DepthFrame, Extrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.perception.labels import TABLE, Labeller
from knuckle.perception.projection import Projection
from knuckle.perception.voxels import voxel_means

# How a point lies in a message and in memory; padded to 16 bytes so that the floats stay aligned.
POINT = np.dtype(
    {
        "names": ["x", "y", "z", "label"],
        "formats": ["<f4", "<f4", "<f4", "u1"],
        "offsets": [0, 4, 8, 12],
        "itemsize": 16,
    }
)


@dataclass(frozen=True)
class CloudConfig:
    """The box that is looked at, in hand_base, the voxels, and how near a known surface a point must be to be its."""

    low_x: float = setting(-0.22, "lower end of the box", low=-10.0, high=10.0, unit="m")
    low_y: float = setting(-0.22, "lower end of the box", low=-10.0, high=10.0, unit="m")
    low_z: float = setting(-0.03, "lower end of the box", low=-10.0, high=10.0, unit="m")
    high_x: float = setting(0.22, "upper end of the box", low=-10.0, high=10.0, unit="m")
    high_y: float = setting(0.22, "upper end of the box", low=-10.0, high=10.0, unit="m")
    high_z: float = setting(0.27, "upper end of the box", low=-10.0, high=10.0, unit="m")
    voxel_m: float = setting(0.005, "edge of a voxel (Visual Dexterity: 5 mm)", low=0.0005, high=0.1, unit="m")
    hand_margin_m: float = setting(0.004, "points so near a link are the hand's", low=0.0, high=0.05, unit="m")
    table_margin_m: float = setting(0.004, "points so near the table's plane are its", low=0.0, high=0.05, unit="m")
    keep_table: bool = setting(True, "keep the table's points, labelled; otherwise they are removed")


@dataclass(frozen=True)
class Cloud:
    """``points`` (n, 3) float32 in m in hand_base at ``stamp_ns`` and the ``label`` (n,) uint8 of each (see labels)."""

    stamp_ns: int
    points: NDArray[np.float32]
    label: NDArray[np.uint8]

    def packed(self) -> NDArray[np.void]:
        """The cloud (n,) of dtype POINT: the bytes of a PointCloud2, padding zero."""
        out = np.zeros(len(self.points), dtype=POINT)
        for k, name in enumerate("xyz"):
            out[name] = self.points[:, k]
        out["label"] = self.label
        return out

    @staticmethod
    def unpacked(stamp_ns: int, data: bytes | memoryview) -> Cloud:
        """The cloud whose ``packed`` bytes are ``data``."""
        rows = np.frombuffer(data, dtype=POINT)
        return Cloud(stamp_ns, np.stack([rows[name] for name in "xyz"], axis=1), rows["label"].copy())


class CloudBuilder:
    """Depth to cloud: project with cached rays, crop, voxelise, label. The same input gives the same bits."""

    def __init__(self, spec: HandSpec, extrinsics: Extrinsics, config: CloudConfig = CloudConfig()) -> None:
        self.config = validate(config, where="cloud")
        self.spec, self.extrinsics = spec, extrinsics
        self._low = np.array([config.low_x, config.low_y, config.low_z], dtype=np.float32)
        self._high = np.array([config.high_x, config.high_y, config.high_z], dtype=np.float32)
        for k, axis in enumerate("xyz"):
            if not self._low[k] < self._high[k]:
                raise ConfigError("the box is empty", where=f"cloud.low_{axis}", right=f"below high_{axis}")
        self._labeller = Labeller(spec, config.hand_margin_m, config.table_margin_m)
        self._projection: Projection | None = None

    def build(self, frame: DepthFrame, q: Array) -> Cloud:
        """The cloud of ``frame`` for joint angles ``q`` (dof,) in rad at the frame's time.

        Sorted by voxel; empty where no pixel falls into the box. Raises InputError where the image or ``q`` has the
        wrong size.
        """
        if self._projection is None or self._projection.intrinsics != frame.intrinsics:
            self._projection = Projection(frame.intrinsics, self.extrinsics)
        inside = self._projection.points_inside(frame.depth, frame.scale_m, self._low, self._high)
        points = voxel_means(inside, self.config.voxel_m)
        label = self._labeller.labels(points, q)
        if not self.config.keep_table:
            kept = label != TABLE
            points, label = points[kept], label[kept]
        return Cloud(frame.stamp_ns, points.astype(np.float32), label)
