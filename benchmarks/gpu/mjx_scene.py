"""The training scene as MJX can take it: the same hand, objects, masses and physics, with two shapes replaced.

What MJX (3.17, its JAX side) has not, and what stands in its place:
- cylinders against boxes: a cylinder becomes the box of the same height and cross-section, here and in the palm;
- the contact sensor of the table: left out (the reward's ``table_contact`` needs it, and is refused);
- one compiled program for different geometry types: every object has as many boxes and as many capsules as the one
  with the most (a sphere is a capsule of almost no length), the missing ones grains inside its first part.
Masses, centres of mass and inertias are those of the scene that planners and the CPU's learner use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec, Primitive
from knuckle.sim.engine import mujoco
from knuckle.sim.hand_model import GEOM_TYPES, OBJECT_BIT, TABLE_BIT, add_hand, padded_size
from knuckle.sim.scene import (
    OBJECT_BODY,
    OBJECT_FRICTION,
    OBJECT_JOINT,
    TABLE_FRICTION,
    TABLE_GEOM,
    TABLE_HALF_SIDE,
    Scene,
    planner_scene,
)

POINT_M = 1e-4
GRAIN_M = 1e-3
CONDIM = {"box": 4, "capsule": 6}


def as_box(part: Primitive) -> Primitive:
    """A cylinder as the box of the same height and cross-section; anything else as it is."""
    if part.kind != "cylinder":
        return part
    side = 0.5 * np.sqrt(np.pi) * part.size[0]
    return replace(part, kind="box", size=(side, side, part.size[1]))


def as_mjx_part(part: Primitive) -> Primitive:
    """``part`` of an object as a box or a capsule."""
    if part.kind == "sphere":
        return replace(part, kind="capsule", size=(part.size[0], POINT_M))
    return as_box(part)


def places(scenes: list[Scene]) -> dict[str, int]:
    """How many boxes and capsules every object gets, so that all of ``scenes`` have one structure."""
    kinds = [[as_mjx_part(part).kind for part in scene.thing.primitives] for scene in scenes]
    return {kind: max(of_one.count(kind) for of_one in kinds) for kind in CONDIM}


def mjx_model(scene: Scene, counts: dict[str, int], *, pairs: int, contacts: int, iterations: int) -> mujoco.MjModel:
    """``scene`` compiled for MJX, its state laid out as in ``scene``; ``counts`` as `places` has them.

    At most ``pairs`` near pairs of each kind are looked at, and ``contacts`` of each kind felt (0: all), in
    ``iterations`` of the solver.
    """
    spec, given = mujoco.MjSpec(), scene.model.opt
    option = spec.option
    for name in ("timestep", "ls_iterations", "integrator", "cone", "impratio", "jacobian", "solver"):
        setattr(option, name, getattr(given, name))
    option.iterations = iterations
    for name, number in (("max_geom_pairs", pairs), ("max_contact_points", contacts)):
        if number:
            spec.add_numeric(name=name, data=[float(number)])
    spec.worldbody.add_geom(
        name=TABLE_GEOM,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[TABLE_HALF_SIDE, TABLE_HALF_SIDE, 0.01],
        friction=TABLE_FRICTION,
        contype=TABLE_BIT,
        conaffinity=OBJECT_BIT,
    )
    add_hand(spec, _boxed(scene.hand))
    body = spec.worldbody.add_body(name=OBJECT_BODY)
    body.add_freejoint(name=OBJECT_JOINT, align=mujoco.mjtAlignFree.mjALIGNFREE_FALSE)
    for kind, part in _parts(scene, counts):
        body.add_geom(
            type=GEOM_TYPES[kind],
            size=padded_size(part),
            pos=part.position,
            quat=part.quaternion,
            friction=OBJECT_FRICTION,
            condim=CONDIM[kind],
            contype=OBJECT_BIT,
            conaffinity=TABLE_BIT,
        )
    _weigh(spec, scene.model)
    model = spec.compile()
    if (model.nq, model.nv, model.nu) != (scene.model.nq, scene.model.nv, scene.model.nu):
        raise InputError("the model for MJX is laid out otherwise", where=scene.thing.name, right="the scene's layout")
    return model


def training_models(
    hand: HandSpec, objects: tuple[str, ...], *, pairs: int, contacts: int, iterations: int
) -> tuple[list[Scene], list[Any]]:
    """The scenes of ``objects`` as the CPU's learner has them, and their models for MJX, of one structure."""
    scenes = [planner_scene(hand, name) for name in objects]
    counts = places(scenes)
    settings = {"pairs": pairs, "contacts": contacts, "iterations": iterations}
    return scenes, [mjx_model(scene, counts, **settings) for scene in scenes]


def _boxed(hand: HandSpec) -> HandSpec:
    links = tuple(replace(link, primitives=tuple(as_box(part) for part in link.primitives)) for link in hand.links)
    return replace(hand, links=links)


def _parts(scene: Scene, counts: dict[str, int]) -> list[tuple[str, Primitive]]:
    """The parts in the structure's order: boxes, then capsules, each filled up with grains."""
    own = [as_mjx_part(part) for part in scene.thing.primitives]
    centre = own[0].position
    grains = {
        "box": Primitive("box", (GRAIN_M, GRAIN_M, GRAIN_M), centre),
        "capsule": Primitive("capsule", (GRAIN_M, POINT_M), centre),
    }
    listed = []
    for kind, count in counts.items():
        some = [part for part in own if part.kind == kind]
        listed += [(kind, part) for part in some + [grains[kind]] * (count - len(some))]
    return listed


def _weigh(spec: Any, model: Any) -> None:
    """Give every body of ``spec`` the mass, centre and inertia that it has in ``model``."""
    for body in spec.bodies:
        if body.name in ("", "world"):
            continue
        k = model.body(body.name).id
        body.explicitinertial = True
        body.mass, body.inertia = float(model.body_mass[k]), model.body_inertia[k]
        body.ipos, body.iquat = model.body_ipos[k], model.body_iquat[k]
