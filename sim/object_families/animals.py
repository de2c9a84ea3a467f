"""Animals: a trunk, a head that looks aside, and the limbs that five more solids allow."""

from __future__ import annotations

from knuckle.hardware.spec.hand_spec import Primitive, Vec3
from knuckle.hardware.spec.object_shape import ObjectShape, shape
from knuckle.sim.object_families.solids import Family, ball, box, capsule, cylinder, turn


def quadruped(
    name: str,
    trunk: tuple[float, float],
    legs: Vec3,
    stand: float,
    front: list[Primitive],
    mass: float,
    colour: tuple[float, float, float],
) -> ObjectShape:
    """An animal on four legs: a capsule ``trunk`` (radius, half length) along x, each pair of legs one box.

    ``legs`` are a pair's half extents, ``stand`` is how far before and behind the middle the pairs are; ``front`` is
    the head and what else there is.
    """
    pairs = [box(legs, (x, 0.0, -trunk[0] - 0.5 * legs[2])) for x in (stand, -stand)]
    return shape(name, mass, [capsule(*trunk, (0.0, 0.0, 0.0), turn("y", 90.0)), *pairs, *front], colour)


def bunny() -> ObjectShape:
    """A sitting bunny with one lop ear, 0.120 m tall."""
    parts = [
        capsule(0.030, 0.012, (0.0, 0.0, 0.0), turn("y", 70.0)),
        ball(0.022, (0.030, 0.0, 0.036)),
        capsule(0.008, 0.019, (0.022, 0.013, 0.066), turn("y", -15.0)),
        capsule(0.008, 0.019, (0.016, -0.030, 0.050), turn("x", 65.0)),
        ball(0.012, (-0.044, 0.0, 0.004)),
        box((0.036, 0.026, 0.008), (0.006, 0.0, -0.030)),
    ]
    return shape("bunny", 0.090, parts, (0.90, 0.78, 0.60))


def duck() -> ObjectShape:
    """A bath duck looking aside, 0.100 m long: body, head, beak, raised tail, keel."""
    parts = [
        capsule(0.026, 0.018, (0.0, 0.0, 0.0), turn("y", 90.0)),
        ball(0.020, (0.024, 0.0, 0.038)),
        box((0.013, 0.009, 0.005), (0.042, 0.014, 0.036), turn("z", 35.0)),
        capsule(0.008, 0.012, (-0.042, 0.0, 0.018), turn("y", -40.0)),
        box((0.026, 0.020, 0.007), (0.0, 0.0, -0.024)),
    ]
    return shape("duck", 0.050, parts, (0.98, 0.86, 0.25))


def dog() -> ObjectShape:
    """A dog looking aside, 0.150 m from nose to tail."""
    front = [
        ball(0.021, (0.048, 0.004, 0.032)),
        box((0.015, 0.011, 0.010), (0.068, 0.016, 0.026), turn("z", 30.0)),
        capsule(0.008, 0.016, (-0.050, 0.0, 0.026), turn("y", -35.0)),
    ]
    return quadruped("dog", (0.023, 0.026), (0.010, 0.021, 0.018), 0.030, front, 0.120, (0.62, 0.45, 0.30))


def elephant() -> ObjectShape:
    """An elephant with its trunk aside and one ear spread, 0.150 m long."""
    front = [
        ball(0.025, (0.050, 0.0, 0.014)),
        capsule(0.010, 0.026, (0.074, -0.010, -0.010), turn("y", -25.0)),
        cylinder(0.020, 0.006, (0.042, 0.030, 0.026), turn("x", 70.0)),
    ]
    return quadruped("elephant", (0.033, 0.016), (0.012, 0.027, 0.016), 0.026, front, 0.200, (0.58, 0.62, 0.68))


def snail() -> ObjectShape:
    """A snail whose shell winds to one side, 0.125 m long: foot, shell, its tip, head, one long horn."""
    parts = [
        box((0.052, 0.018, 0.012), (0.0, 0.0, 0.0)),
        cylinder(0.032, 0.020, (-0.014, 0.0, 0.036), turn("x", 90.0)),
        cylinder(0.018, 0.008, (-0.010, 0.028, 0.038), turn("x", 90.0)),
        ball(0.018, (0.054, 0.0, 0.012)),
        capsule(0.007, 0.014, (0.062, 0.008, 0.040), turn("y", 20.0)),
    ]
    return shape("snail", 0.140, parts, (0.78, 0.60, 0.38))


ANIMALS: Family = {"bunny": bunny, "duck": duck, "dog": dog, "elephant": elephant, "snail": snail}
