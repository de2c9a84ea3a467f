"""Six non-convex objects built from convex primitives, each turned to a unique orientation by nothing but itself.

Sizes and masses span those of Visual Dexterity's printed objects: longest side 0.095 to 0.165 m, 50 to 244 g.
`asymmetry.py` proves that none looks like itself after a turn. Every object has at most `PARTS` primitives and the
scene pads to exactly that many, so that all scenes of one hand have one size signature and can be mixed in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from knuckle.core.errors import unknown_name
from knuckle.hardware.spec.hand_spec import Primitive, Quat, Vec3
from knuckle.hardware.spec.object_shape import ObjectShape, shape

PARTS = 6

Axis = Literal["x", "y", "z"]


def object_shape(name: str, *, where: str = "") -> ObjectShape:
    """The object called ``name``; InputError lists the known ones."""
    if name not in OBJECTS:
        raise unknown_name("object", name, OBJECTS, where=where)
    return OBJECTS[name]()


def letter_f() -> ObjectShape:
    """An F, 0.125 m tall and 0.044 m thick."""
    parts = [
        _box((0.014, 0.0625, 0.022), (0.0, 0.0, 0.0)),
        _box((0.024, 0.013, 0.022), (0.038, 0.0495, 0.0)),
        _box((0.018, 0.012, 0.022), (0.032, 0.004, 0.0)),
    ]
    return shape("letter_f", 0.110, parts, (0.85, 0.33, 0.24))


def letter_j() -> ObjectShape:
    """A J with a serif, 0.118 m tall and 0.046 m thick: stem, foot, hook, serif."""
    parts = [
        _box((0.014, 0.059, 0.023), (0.0, 0.0, 0.0)),
        _box((0.021, 0.014, 0.023), (-0.035, -0.045, 0.0)),
        _box((0.010, 0.017, 0.023), (-0.046, -0.016, 0.0)),
        _box((0.010, 0.010, 0.023), (0.024, 0.049, 0.0)),
    ]
    return shape("letter_j", 0.130, parts, (0.20, 0.45, 0.80))


def hammer() -> ObjectShape:
    """A stout claw hammer, 0.150 m long: handle, head block, round face, bent claw."""
    parts = [
        _capsule(0.015, 0.050, (0.0, 0.0, 0.0)),
        _box((0.018, 0.023, 0.022), (0.0, 0.0, 0.063)),
        _cylinder(0.023, 0.010, (0.028, 0.0, 0.063), _turn("y", 90.0)),
        _box((0.030, 0.018, 0.008), (-0.038, 0.0, 0.049), _turn("y", -40.0)),
    ]
    return shape("hammer", 0.244, parts, (0.55, 0.57, 0.60))


def bunny() -> ObjectShape:
    """A sitting bunny with one lop ear, 0.120 m tall."""
    parts = [
        _capsule(0.030, 0.012, (0.0, 0.0, 0.0), _turn("y", 70.0)),
        _ball(0.022, (0.030, 0.0, 0.036)),
        _capsule(0.008, 0.019, (0.022, 0.013, 0.066), _turn("y", -15.0)),
        _capsule(0.008, 0.019, (0.016, -0.030, 0.050), _turn("x", 65.0)),
        _ball(0.012, (-0.044, 0.0, 0.004)),
        _box((0.036, 0.026, 0.008), (0.006, 0.0, -0.030)),
    ]
    return shape("bunny", 0.090, parts, (0.90, 0.78, 0.60))


def truck() -> ObjectShape:
    """A pick-up truck, 0.140 m long: frame, cab, tall exhaust on one side, load at the back, two axles."""
    parts = [
        _box((0.070, 0.022, 0.011), (0.0, 0.0, 0.0)),
        _box((0.020, 0.022, 0.020), (0.034, 0.0, 0.030)),
        _box((0.017, 0.018, 0.012), (-0.049, 0.0, 0.022)),
        _cylinder(0.015, 0.030, (0.042, 0.0, -0.009), _turn("x", 90.0)),
        _cylinder(0.015, 0.030, (-0.042, 0.0, -0.009), _turn("x", 90.0)),
        _capsule(0.007, 0.026, (0.006, 0.019, 0.030)),
    ]
    return shape("truck", 0.180, parts, (0.93, 0.70, 0.13))


def duck() -> ObjectShape:
    """A bath duck looking aside, 0.100 m long: body, head, beak, raised tail, keel."""
    parts = [
        _capsule(0.026, 0.018, (0.0, 0.0, 0.0), _turn("y", 90.0)),
        _ball(0.020, (0.024, 0.0, 0.038)),
        _box((0.013, 0.009, 0.005), (0.042, 0.014, 0.036), _turn("z", 35.0)),
        _capsule(0.008, 0.012, (-0.042, 0.0, 0.018), _turn("y", -40.0)),
        _box((0.026, 0.020, 0.007), (0.0, 0.0, -0.024)),
    ]
    return shape("duck", 0.050, parts, (0.98, 0.86, 0.25))


OBJECTS: dict[str, Callable[[], ObjectShape]] = {
    "letter_f": letter_f,
    "letter_j": letter_j,
    "hammer": hammer,
    "bunny": bunny,
    "truck": truck,
    "duck": duck,
}


def _box(half: Vec3, at: Vec3, turn: Quat = (1.0, 0.0, 0.0, 0.0)) -> Primitive:
    return Primitive("box", half, at, turn)


def _ball(radius: float, at: Vec3) -> Primitive:
    return Primitive("sphere", (radius,), at)


def _capsule(radius: float, half: float, at: Vec3, turn: Quat = (1.0, 0.0, 0.0, 0.0)) -> Primitive:
    return Primitive("capsule", (radius, half), at, turn)


def _cylinder(radius: float, half: float, at: Vec3, turn: Quat = (1.0, 0.0, 0.0, 0.0)) -> Primitive:
    return Primitive("cylinder", (radius, half), at, turn)


def _turn(axis: Axis, degrees: float) -> Quat:
    half = math.radians(degrees) / 2.0
    c, s = math.cos(half), math.sin(half)
    return {"x": (c, s, 0.0, 0.0), "y": (c, 0.0, s, 0.0), "z": (c, 0.0, 0.0, s)}[axis]
