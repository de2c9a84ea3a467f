"""Things of the kitchen: a round vessel, and a handle, spout or knob beside it."""

from __future__ import annotations

from knuckle.hardware.spec.hand_spec import Primitive
from knuckle.hardware.spec.object_shape import ObjectShape, shape
from knuckle.sim.object_families.solids import Family, ball, box, capsule, cylinder, turn


def vessel(
    name: str,
    body: tuple[float, float],
    fittings: list[Primitive],
    mass: float,
    colour: tuple[float, float, float],
) -> ObjectShape:
    """A vessel: a cylinder ``body`` (radius, half height) along z at the origin, and its ``fittings``."""
    return shape(name, mass, [cylinder(*body, (0.0, 0.0, 0.0)), *fittings], colour)


def mug() -> ObjectShape:
    """A mug with a spoon in it, 0.110 m tall: body, handle of three bars, spoon."""
    fittings = [
        box((0.015, 0.011, 0.009), (0.044, 0.0, 0.028)),
        box((0.010, 0.012, 0.026), (0.062, 0.0, 0.010)),
        box((0.015, 0.011, 0.009), (0.044, 0.0, -0.008)),
        capsule(0.008, 0.022, (-0.018, 0.012, 0.054), turn("x", -20.0)),
    ]
    return vessel("mug", (0.032, 0.040), fittings, 0.150, (0.25, 0.52, 0.75))


def teapot() -> ObjectShape:
    """A teapot, 0.140 m from spout to handle: belly, foot, spout, handle of two bars, knob."""
    fittings = [
        ball(0.036, (0.0, 0.0, 0.022)),
        capsule(0.011, 0.026, (0.042, 0.0, 0.014), turn("y", 55.0)),
        box((0.016, 0.011, 0.009), (-0.040, 0.0, 0.044)),
        box((0.010, 0.013, 0.030), (-0.060, 0.0, 0.024)),
        ball(0.011, (0.0, 0.0, 0.062)),
    ]
    return vessel("teapot", (0.026, 0.018), fittings, 0.160, (0.80, 0.42, 0.35))


def saucepan() -> ObjectShape:
    """A saucepan, 0.155 m long: pot, handle, lid, knob aside, pouring lip."""
    fittings = [
        box((0.034, 0.012, 0.010), (0.068, 0.0, 0.014)),
        cylinder(0.034, 0.006, (0.0, 0.0, 0.032)),
        cylinder(0.013, 0.010, (-0.008, 0.0, 0.046)),
        box((0.014, 0.010, 0.008), (0.0, 0.042, 0.016)),
    ]
    return vessel("saucepan", (0.038, 0.027), fittings, 0.240, (0.66, 0.66, 0.68))


def coffee_pot() -> ObjectShape:
    """A moka pot, 0.125 m tall: boiler, jug, handle of two bars, spout, knob."""
    fittings = [
        cylinder(0.024, 0.026, (0.0, 0.0, 0.048)),
        box((0.018, 0.010, 0.009), (0.036, 0.0, 0.064)),
        box((0.010, 0.011, 0.026), (0.056, 0.0, 0.046)),
        box((0.012, 0.010, 0.010), (-0.030, 0.0, 0.062), turn("y", 25.0)),
        ball(0.010, (0.0, 0.0, 0.082)),
    ]
    return vessel("coffee_pot", (0.031, 0.024), fittings, 0.180, (0.42, 0.44, 0.48))


KITCHEN: Family = {"mug": mug, "teapot": teapot, "saucepan": saucepan, "coffee_pot": coffee_pot}
