"""The settings of physics that worlds to learn in can run with, by name."""

from __future__ import annotations

from collections.abc import Callable

from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.sim.scene import Scene, coarse_scene, execution_scene, planner_scene, require_one_signature

PHYSICS: dict[str, Callable[[HandSpec, str], Scene]] = {
    "training": planner_scene,
    "execution": execution_scene,
    "coarse": coarse_scene,
}
"""Training: 1/60 s and 10 solver iterations, as planners use; execution: 1/120 s, as what is scored; coarse: training's
with softer friction.

Neither cuts joint rates at the servos' limits: that is done by the world that executes, and alone matters there.
"""


def task_scenes(hand: HandSpec, objects: tuple[str, ...], physics: str, *, where: str = "") -> list[Scene]:
    """One scene an object. InputError for a name that is not known or no object; RunError for mixed sizes."""
    if physics not in PHYSICS:
        raise unknown_name("physics", physics, PHYSICS, where=where)
    if not objects:
        raise InputError("no objects", where=where or "objects", right="the names of one or more")
    scenes = [PHYSICS[physics](hand, name) for name in objects]
    require_one_signature(scenes)
    return scenes


def control_substeps(scene: Scene) -> int:
    """Physics steps in one control step of the hand."""
    return round(1.0 / (scene.hand.control_rate_hz * scene.dt_s))
