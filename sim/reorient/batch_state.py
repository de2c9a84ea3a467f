"""All that decides how a batch world goes on, as arrays and plain facts: to go on as if a run had not ended.

A world that was given what `capture` took gives from then on the same numbers, bit for bit, on the same machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.episode_meter import EpisodeMeter

_WORLD = ("smoothed", "_goal", "_steps", "_limit", "_table_until", "_start", "_angle", "_offset", "_seen")
_MODELS = ("stiffness", "damping", "mass", "scale")
_METER = ("_total", "_length", "_goals")
# The fields of a model that some row of the randomisation table writes.
_DRAWN = (
    "actuator_gainprm",
    "actuator_biasprm",
    "dof_damping",
    "body_mass",
    "body_inertia",
    "geom_friction",
    "geom_size",
    "geom_pos",
    "geom_rbound",
    "geom_aabb",
    "bvh_aabb",
)


def capture(world: BatchWorld, meter: EpisodeMeter) -> tuple[dict[str, Any], dict[str, Any]]:
    """Copies of the arrays of ``world`` and of ``meter``, by name, and the facts beside them, which JSON can hold."""
    arrays = {f"world.{name}": getattr(world, name).copy() for name in _WORLD}
    arrays |= {f"models.{name}": getattr(world.models, name).copy() for name in _MODELS}
    arrays |= {f"meter.{name}": getattr(meter, name).copy() for name in _METER}
    arrays |= {"states": world.stepper.states.copy(), "rungs": world.goals.drawn.copy()}
    if world._force is not None:
        arrays["force"] = world._force.force.copy()
    if world.models.rows:
        models = world.stepper.models
        arrays |= {f"drawn.{name}": np.stack([getattr(model, name) for model in models]) for name in _DRAWN}
        arrays["drawn.gravity"] = np.stack([model.opt.gravity for model in models])
    facts = {
        "rng": world._rng.bit_generator.state,
        "rung_shares": world.goals.shares,
        "episodes": world.guard.episodes,
        "broken": world.guard.broken,
    }
    return arrays, facts


def restore(world: BatchWorld, meter: EpisodeMeter, arrays: dict[str, Any], facts: dict[str, Any]) -> None:
    """Put ``world``, made with the same hand, objects and settings, and ``meter`` where `capture` found them.

    InputError where an array is missing or of another shape.
    """
    for prefix, owner, names in (("world", world, _WORLD), ("models", world.models, _MODELS), ("meter", meter, _METER)):
        for name in names:
            place = getattr(owner, name)
            place[:] = _like(place, arrays, f"{prefix}.{name}")
    world.stepper.states[:] = _like(world.stepper.states, arrays, "states")
    world.goals.drawn[:] = _like(world.goals.drawn, arrays, "rungs")
    if world._force is not None:
        world._force.force[:] = _like(world._force.force, arrays, "force")
    if world.models.rows:
        _restore_models(world, arrays)
    there = world._steps <= world._table_until
    world.set_tables(np.flatnonzero(there), True)
    world.set_tables(np.flatnonzero(~there), False)
    world.goals.share(facts["rung_shares"])
    world.guard.episodes, world.guard.broken = int(facts["episodes"]), int(facts["broken"])
    world._rng.bit_generator.state = facts["rng"]


def _restore_models(world: BatchWorld, arrays: dict[str, Any]) -> None:
    models = world.stepper.models
    for name in _DRAWN:
        stored = _like(np.stack([getattr(model, name) for model in models]), arrays, f"drawn.{name}")
        for model, values in zip(models, stored, strict=True):
            getattr(model, name)[:] = values
    gravity = _like(np.zeros((len(models), 3)), arrays, "drawn.gravity")
    scratch = mujoco.MjData(models[0])
    for model, values in zip(models, gravity, strict=True):
        model.opt.gravity[:] = values
        if world.models.reweighed:
            mujoco.mj_setConst(model, scratch)


def _like(place: Array | Any, arrays: dict[str, Any], name: str) -> Any:
    stored = arrays.get(name)
    if stored is None or stored.shape != place.shape:
        found = "nothing" if stored is None else f"shape {stored.shape}"
        raise InputError(f"{found} for {name}", where="state of the worlds", right=f"an array {place.shape}")
    return stored
