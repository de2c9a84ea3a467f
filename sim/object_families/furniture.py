"""Furniture for a dolls' house: a slab to sit or work at, and what stands around it."""

from __future__ import annotations

from knuckle.hardware.spec.hand_spec import Primitive, Vec3
from knuckle.hardware.spec.object_shape import ObjectShape, shape
from knuckle.sim.object_families.solids import Family, axle, box, turn


def furniture(
    name: str,
    slab: Vec3,
    around: list[Primitive],
    mass: float,
    colour: tuple[float, float, float],
) -> ObjectShape:
    """A piece of furniture: a box ``slab`` (half extents) at the origin and what stands ``around`` it."""
    return shape(name, mass, [box(slab, (0.0, 0.0, 0.0)), *around], colour)


def chair() -> ObjectShape:
    """A school chair, 0.125 m tall: seat, back, two front legs, hind legs in one, writing board at one side."""
    around = [
        box((0.010, 0.034, 0.036), (-0.028, 0.0, 0.044), turn("y", -8.0)),
        box((0.009, 0.009, 0.016), (0.028, 0.024, -0.024)),
        box((0.009, 0.009, 0.016), (0.028, -0.024, -0.024)),
        box((0.010, 0.034, 0.016), (-0.028, 0.0, -0.024)),
        box((0.030, 0.014, 0.008), (0.008, 0.040, 0.030)),
    ]
    return furniture("chair", (0.038, 0.034, 0.012), around, 0.110, (0.72, 0.53, 0.32))


def armchair() -> ObjectShape:
    """A reclining armchair, 0.120 m long: seat, leaning back, two arms, foot rest, head roll."""
    around = [
        box((0.012, 0.034, 0.034), (-0.038, 0.0, 0.040), turn("y", -15.0)),
        box((0.030, 0.010, 0.014), (0.004, 0.038, 0.016)),
        box((0.030, 0.010, 0.014), (0.004, -0.038, 0.016)),
        box((0.020, 0.028, 0.009), (0.056, 0.0, -0.006)),
        axle(0.013, 0.034, (-0.044, 0.0, 0.070)),
    ]
    return furniture("armchair", (0.040, 0.034, 0.018), around, 0.200, (0.48, 0.30, 0.34))


def desk() -> ObjectShape:
    """A desk, 0.120 m wide: top, drawers, panel, screen, book."""
    around = [
        box((0.019, 0.030, 0.024), (0.038, 0.0, -0.032)),
        box((0.010, 0.030, 0.024), (-0.048, 0.0, -0.032)),
        box((0.024, 0.011, 0.022), (-0.012, 0.018, 0.030)),
        box((0.014, 0.018, 0.007), (0.040, -0.008, 0.014)),
    ]
    return furniture("desk", (0.060, 0.034, 0.009), around, 0.170, (0.60, 0.46, 0.36))


def sofa() -> ObjectShape:
    """A corner sofa, 0.130 m wide: seat, chaise at one end, back, arm, cushion."""
    around = [
        box((0.024, 0.024, 0.016), (0.040, 0.050, 0.0)),
        box((0.064, 0.011, 0.018), (0.0, -0.017, 0.034)),
        box((0.011, 0.017, 0.012), (-0.053, 0.010, 0.028)),
        box((0.013, 0.010, 0.013), (0.030, 0.004, 0.026), turn("x", 15.0)),
    ]
    return furniture("sofa", (0.064, 0.028, 0.016), around, 0.210, (0.36, 0.50, 0.52))


FURNITURE: Family = {"chair": chair, "armchair": armchair, "desk": desk, "sofa": sofa}
