"""Short names for the convex solids that objects are built from. Lengths in m, angles in degrees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from knuckle.hardware.spec.hand_spec import Primitive, Quat, Vec3
from knuckle.hardware.spec.object_shape import ObjectShape

Axis = Literal["x", "y", "z"]
Family = dict[str, Callable[[], ObjectShape]]
"""Name of an object to what builds it."""

UPRIGHT: Quat = (1.0, 0.0, 0.0, 0.0)


def box(half: Vec3, at: Vec3, turned: Quat = UPRIGHT) -> Primitive:
    """A box of half extents ``half`` centred ``at``."""
    return Primitive("box", half, at, turned)


def ball(radius: float, at: Vec3) -> Primitive:
    """A sphere."""
    return Primitive("sphere", (radius,), at)


def capsule(radius: float, half: float, at: Vec3, turned: Quat = UPRIGHT) -> Primitive:
    """A capsule along its own z; its caps reach ``radius`` beyond ``half``."""
    return Primitive("capsule", (radius, half), at, turned)


def cylinder(radius: float, half: float, at: Vec3, turned: Quat = UPRIGHT) -> Primitive:
    """A cylinder along its own z."""
    return Primitive("cylinder", (radius, half), at, turned)


def axle(radius: float, half: float, at: Vec3) -> Primitive:
    """Two wheels and what joins them: one cylinder along y."""
    return cylinder(radius, half, at, turn("x", 90.0))


def turn(axis: Axis, degrees: float) -> Quat:
    """The quaternion w x y z of a turn about one axis."""
    half = math.radians(degrees) / 2.0
    c, s = math.cos(half), math.sin(half)
    return {"x": (c, s, 0.0, 0.0), "y": (c, 0.0, s, 0.0), "z": (c, 0.0, 0.0, s)}[axis]
