"""Where the camera stands: Visual Dexterity's D415, in hand_base, and its pinhole."""

from __future__ import annotations

import math

from knuckle.core import rotations
from knuckle.hardware.spec.contracts import Extrinsics, Intrinsics

HFOV_RAD = math.radians(64.0)
DEPTH_MAX_M = 1.5
OPTICAL_FRAME = "camera_depth_optical_frame"


def pinhole(width: int = 320, height: int = 180, hfov_rad: float = HFOV_RAD) -> Intrinsics:
    """Square pixels with the given horizontal field of view, principal point at the centre."""
    f = 0.5 * width / math.tan(0.5 * hfov_rad)
    return Intrinsics(width, height, f, f, 0.5 * (width - 1), 0.5 * (height - 1))


def paper_extrinsics() -> Extrinsics:
    """The optical frame's pose in hand_base as in the released configuration: 0.57 m aside, looking at the object."""
    q = rotations.normalize(rotations.from_xyzw((0.371878, -0.382269, -0.601543, 0.594747)))
    return Extrinsics((0.573827, 0.0339394, -0.0351936), (float(q[0]), float(q[1]), float(q[2]), float(q[3])))
