"""Vehicles: a chassis, axles of two wheels each, and what is built upon it."""

from __future__ import annotations

from knuckle.hardware.spec.hand_spec import Primitive, Vec3
from knuckle.hardware.spec.object_shape import ObjectShape, shape
from knuckle.sim.object_families.solids import Family, axle, ball, box, capsule, cylinder, turn


def vehicle(
    name: str,
    chassis: Vec3,
    built: list[Primitive],
    mass: float,
    colour: tuple[float, float, float],
) -> ObjectShape:
    """A vehicle along x: a box ``chassis`` (half extents) at the origin and what is ``built`` on it, axles too."""
    return shape(name, mass, [box(chassis, (0.0, 0.0, 0.0)), *built], colour)


def truck() -> ObjectShape:
    """A pick-up truck, 0.140 m long: frame, cab, tall exhaust on one side, load at the back, two axles."""
    built = [
        box((0.020, 0.022, 0.020), (0.034, 0.0, 0.030)),
        box((0.017, 0.018, 0.012), (-0.049, 0.0, 0.022)),
        axle(0.015, 0.030, (0.042, 0.0, -0.009)),
        axle(0.015, 0.030, (-0.042, 0.0, -0.009)),
        capsule(0.007, 0.026, (0.006, 0.019, 0.030)),
    ]
    return vehicle("truck", (0.070, 0.022, 0.011), built, 0.180, (0.93, 0.70, 0.13))


def tractor() -> ObjectShape:
    """A tractor, 0.135 m long: bonnet, cabin, large rear and small front axle, exhaust, front weight."""
    built = [
        box((0.022, 0.024, 0.030), (-0.046, 0.0, 0.024)),
        axle(0.028, 0.034, (-0.046, 0.0, -0.010)),
        axle(0.014, 0.028, (0.022, 0.0, -0.022)),
        capsule(0.007, 0.016, (0.020, -0.010, 0.034)),
        box((0.012, 0.026, 0.011), (0.044, 0.0, -0.008)),
    ]
    return vehicle("tractor", (0.036, 0.017, 0.018), built, 0.190, (0.24, 0.56, 0.26))


def excavator() -> ObjectShape:
    """An excavator, 0.140 m long: tracks, engine, cab, boom, stick, bucket."""
    built = [
        box((0.030, 0.027, 0.017), (-0.012, 0.0, 0.028)),
        box((0.014, 0.013, 0.015), (0.006, 0.014, 0.056)),
        box((0.036, 0.011, 0.011), (0.044, -0.014, 0.052), turn("y", -30.0)),
        box((0.010, 0.011, 0.026), (0.076, -0.014, 0.048), turn("y", -8.0)),
        box((0.015, 0.017, 0.011), (0.080, -0.014, 0.018)),
    ]
    return vehicle("excavator", (0.046, 0.034, 0.014), built, 0.240, (0.96, 0.62, 0.10))


def locomotive() -> ObjectShape:
    """A steam locomotive, 0.130 m long: frame, boiler, cab, chimney, steam dome, one driving axle."""
    built = [
        cylinder(0.021, 0.042, (0.022, 0.0, 0.028), turn("y", 90.0)),
        box((0.020, 0.026, 0.030), (-0.044, 0.0, 0.038)),
        cylinder(0.010, 0.014, (0.050, 0.0, 0.058)),
        ball(0.012, (0.018, 0.0, 0.050)),
        axle(0.016, 0.029, (-0.030, 0.0, -0.008)),
    ]
    return vehicle("locomotive", (0.064, 0.024, 0.010), built, 0.215, (0.28, 0.34, 0.46))


VEHICLES: Family = {"truck": truck, "tractor": tractor, "excavator": excavator, "locomotive": locomotive}
