"""Tools: a grip to hold and a head of several parts beyond it."""

from __future__ import annotations

from knuckle.hardware.spec.hand_spec import Primitive
from knuckle.hardware.spec.object_shape import ObjectShape, shape
from knuckle.sim.object_families.solids import Family, box, capsule, cylinder, turn


def tool(
    name: str, grip: tuple[float, float], head: list[Primitive], mass: float, colour: tuple[float, float, float]
) -> ObjectShape:
    """A tool whose grip is a capsule of radius and half length ``grip`` along z, its centre at the origin."""
    return shape(name, mass, [capsule(*grip, (0.0, 0.0, 0.0)), *head], colour)


def hammer() -> ObjectShape:
    """A stout claw hammer, 0.150 m long: handle, head block, round face, bent claw."""
    head = [
        box((0.018, 0.023, 0.022), (0.0, 0.0, 0.063)),
        cylinder(0.023, 0.010, (0.028, 0.0, 0.063), turn("y", 90.0)),
        box((0.030, 0.018, 0.008), (-0.038, 0.0, 0.049), turn("y", -40.0)),
    ]
    return tool("hammer", (0.015, 0.050), head, 0.244, (0.55, 0.57, 0.60))


def axe() -> ObjectShape:
    """A bearded axe, 0.146 m long: handle, poll, blade, beard."""
    head = [
        box((0.020, 0.020, 0.022), (-0.002, 0.0, 0.056)),
        box((0.021, 0.014, 0.019), (0.038, 0.0, 0.060)),
        box((0.013, 0.014, 0.019), (0.048, 0.0, 0.024)),
    ]
    return tool("axe", (0.015, 0.053), head, 0.210, (0.70, 0.30, 0.26))


def pipe_wrench() -> ObjectShape:
    """A pipe wrench, 0.160 m long: handle, lower jaw, shank, upper jaw and its hook."""
    head = [
        box((0.020, 0.019, 0.012), (0.012, 0.0, 0.052)),
        box((0.009, 0.016, 0.026), (-0.016, 0.0, 0.066)),
        box((0.034, 0.018, 0.011), (0.022, 0.0, 0.092)),
        box((0.010, 0.018, 0.008), (0.046, 0.0, 0.074)),
    ]
    return tool("pipe_wrench", (0.015, 0.044), head, 0.230, (0.80, 0.22, 0.18))


def drill() -> ObjectShape:
    """A cordless drill, 0.131 m tall: grip, motor, chuck, battery, trigger, side handle."""
    head = [
        cylinder(0.023, 0.036, (0.016, 0.0, 0.050), turn("y", 90.0)),
        cylinder(0.012, 0.014, (0.064, 0.0, 0.050), turn("y", 90.0)),
        box((0.030, 0.022, 0.012), (0.008, 0.0, -0.045)),
        box((0.008, 0.009, 0.010), (0.020, 0.0, 0.018)),
        capsule(0.009, 0.014, (0.034, 0.032, 0.050), turn("x", 90.0)),
    ]
    return tool("drill", (0.016, 0.032), head, 0.220, (0.20, 0.55, 0.58))


TOOLS: Family = {"hammer": hammer, "axe": axe, "pipe_wrench": pipe_wrench, "drill": drill}
