"""Where the camera stands: Visual Dexterity's D415, in hand_base, and its pinhole; ours over a palm that faces up."""

from __future__ import annotations

import math

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.contracts import Extrinsics, Intrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import world_to_base

HFOV_RAD = math.radians(64.0)
DEPTH_MAX_M = 1.5
OPTICAL_FRAME = "camera_depth_optical_frame"
# Palm up, from hand_base along the world's axes: behind the wrist and above, looking at what lies in the hand.
EYE_OVER_PALM = (-0.42, 0.0, 0.36)
SEEN_OVER_PALM = (0.03, 0.0, 0.04)


def pinhole(width: int = 320, height: int = 180, hfov_rad: float = HFOV_RAD) -> Intrinsics:
    """Square pixels with the given horizontal field of view, principal point at the centre."""
    f = 0.5 * width / math.tan(0.5 * hfov_rad)
    return Intrinsics(width, height, f, f, 0.5 * (width - 1), 0.5 * (height - 1))


def paper_extrinsics() -> Extrinsics:
    """The optical frame's pose in hand_base as in the released configuration: 0.57 m aside, looking at the object."""
    q = rotations.normalize(rotations.from_xyzw((0.371878, -0.382269, -0.601543, 0.594747)))
    return Extrinsics((0.573827, 0.0339394, -0.0351936), (float(q[0]), float(q[1]), float(q[2]), float(q[3])))


def camera_extrinsics(hand: HandSpec) -> Extrinsics:
    """Where the camera of ``hand`` stands: the paper's place, or for a palm that faces up one from which it is seen."""
    if not hand.palm_up:
        return paper_extrinsics()
    mount = np.array(hand.mount_position)
    eye, seen = mount + EYE_OVER_PALM, mount + SEEN_OVER_PALM
    turned = rotations.multiply(rotations.conjugate(np.array(hand.mount_quaternion)), _looking(seen - eye))
    x, y, z = (float(v) for v in world_to_base(hand, eye))
    w, i, j, k = (float(v) for v in rotations.normalize(turned))
    return Extrinsics((x, y, z), (w, i, j, k))


def workplace_height(hand: HandSpec) -> float:
    """The height in m of what objects are turned on: the table's, or that of a palm that faces up."""
    return hand.mount_position[2] if hand.palm_up else 0.0


def _looking(along: Array) -> Array:
    """The orientation (4,) of an optical frame that looks ``along`` a direction (3,) of the world, upright."""
    forward = along / np.linalg.norm(along)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return rotations.from_matrix(np.stack([right, np.cross(forward, right), forward], axis=1))
