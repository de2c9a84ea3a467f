"""Stable states to start from, made in simulation: resting poses on the table, and grasps that were seen to hold."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import RunError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.sim.placement import draw_start, lies_in_hand
from knuckle.sim.reorient.stepper import Stepper
from knuckle.sim.reorient.success import at_rest, norms
from knuckle.sim.scene import Scene, set_table

SETTLING_S = 1.0
CLOSING_S = 1.0
HOLDING_S = 1.0
ROUNDS = 8
# How far a tip is pulled into the object: through the servo's stiffness this is how hard it squeezes.
SQUEEZE_M = (0.01, 0.05)
AIM_SPREAD_M = 0.01
DAMPING = 1e-4
# What may happen to a stable state while it is watched.
MOVED_M, TURNED_RAD = 0.003, 0.06
FEWEST_TIPS = 2


@dataclass(frozen=True)
class StableStarts:
    """Start states of one object, time 0: ``settled`` (A, nstate), hand at home; ``grasps`` (B, nstate).

    ``targets`` (B, dof) are what holds each grasp, ``in_air`` (B,) whether it held without the table too.
    """

    settled: Array
    grasps: Array
    targets: Array
    in_air: NDArray[np.bool_]


def make_starts(scene: Scene, count: int, rng: np.random.Generator, threads: int = 1) -> StableStarts:
    """``count`` resting poses and up to as many grasps of the object of ``scene``.

    RunError where too few resting poses come about in `ROUNDS` tries; an object that cannot be grasped has no grasps.
    """
    own = Scene(copy(scene.model), scene.hand, scene.thing)
    stepper = Stepper([own] * count, threads)
    try:
        settled = _settled(own, stepper, count, rng)
        return StableStarts(settled, *_grasps(own, stepper, settled, rng))
    finally:
        stepper.close()


def placed(scene: Scene, stepper: Stepper, rng: np.random.Generator) -> Array:
    """States (N, nstate) of all the stepper's worlds after a placement over the table and 1 s of settling."""
    data = scene.new_data()
    return _held(stepper, np.stack([draw_start(scene, data, rng) for _ in stepper.scenes]), scene.hand.home, SETTLING_S)


def _settled(scene: Scene, stepper: Stepper, count: int, rng: np.random.Generator) -> Array:
    found = np.empty((0, scene.nstate))
    for _ in range(ROUNDS):
        before = placed(scene, stepper, rng)
        after = _held(stepper, before, scene.hand.home, HOLDING_S)
        kept = _stable(scene, before, after) & lies_in_hand(scene.hand, scene.object_pose_of(after)[0])
        found = np.concatenate([found, after[kept]])[:count]
        if len(found) == count:
            return _timeless(found)
    what = f"{len(found)} of {count} placements of {scene.thing.name} came to rest"
    raise RunError(what, where="starts", right="an object that lies still under the hand")


def _grasps(
    scene: Scene, stepper: Stepper, settled: Array, rng: np.random.Generator
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Close the fingers on each settled object, hold, and keep what did not move meanwhile."""
    hand, chart, tips = scene.hand, ActionMap(scene.hand), TipKinematics(scene.hand, "world")
    n = len(settled)
    stepper.states[:] = settled
    squeeze = rng.uniform(*SQUEEZE_M, (n, 1, 1))
    aside = AIM_SPREAD_M * rng.standard_normal((n, len(hand.tips), 3))
    target = np.tile(hand.home, (n, 1))
    for _ in range(round(CLOSING_S * hand.control_rate_hz)):
        q = scene.joints_of(stepper.states)
        aim = scene.object_pose_of(stepper.states)[0][:, None] + aside
        target = chart.target(q, np.clip(_pull(tips, q, aim, squeeze) / chart.step_rad, -1.0, 1.0))
        stepper.advance(target)
    before = _held(stepper, stepper.states, target, HOLDING_S / 2)
    after = _held(stepper, before, target, HOLDING_S)
    held = _stable(scene, before, after) & (_touching(scene, tips, after).sum(axis=-1) >= FEWEST_TIPS)
    set_table(scene.model, False)
    aloft = _held(stepper, after, target, HOLDING_S)
    in_air = _stable(scene, after, aloft, moved_m=5 * MOVED_M)
    return _timeless(after[held]), target[held], in_air[held]


def _pull(tips: TipKinematics, q: Array, aim: Array, reach: Array) -> Array:
    """Joint changes (N, dof) that pull each tip ``reach`` m (or what is left) towards its ``aim`` (N, G, 3).

    Damped least squares: dq = J^T (J J^T + damping)^-1 d.
    """
    away = aim - tips.poses(q)[0]
    length = np.linalg.norm(away, axis=-1, keepdims=True)
    step = away / np.maximum(length, 1e-9) * np.minimum(length, reach)
    jacobian = tips.jacobian(q)
    square = jacobian @ jacobian.swapaxes(-1, -2) + DAMPING * np.eye(3)
    joints = jacobian.swapaxes(-1, -2) @ np.linalg.solve(square, step[..., None])
    change = np.zeros_like(q)
    change[:, tips.joints] = joints[..., 0]
    return change


def _touching(scene: Scene, tips: TipKinematics, states: Array) -> NDArray[np.bool_]:
    """Which tips (N, G) press on the object: soft contacts carry a force where surfaces overlap."""
    position, quaternion = scene.object_pose_of(states)
    centres = tips.poses(scene.joints_of(states))[0]
    local = rotations.rotate(rotations.conjugate(quaternion)[:, None], centres - position[:, None])
    radii = np.array([tip.radius for tip in scene.hand.tips])
    return np.asarray(scene.thing.distance(local) < radii)


def _stable(scene: Scene, before: Array, after: Array, moved_m: float = MOVED_M) -> NDArray[np.bool_]:
    """Which states (N,) are at rest and near where they were; those that broke are not."""
    position, quaternion = scene.object_pose_of(after)
    was_at, was = scene.object_pose_of(before)
    velocity, spin = scene.object_twist_of(after)
    still = at_rest(norms(scene.joint_rates_of(after)), norms(velocity), norms(spin), 0.0)
    near = norms(position - was_at) <= moved_m
    return np.asarray(still & near & (rotations.angle_between(quaternion, was) <= TURNED_RAD))


def _held(stepper: Stepper, states: Array, target: Array, seconds: float) -> Array:
    """The states ``seconds`` later under one ``target``, (dof,) or one a world."""
    worlds = np.arange(len(states))
    return stepper.roll(worlds, states, np.broadcast_to(target, (len(states), target.shape[-1])), seconds)


def _timeless(states: Array) -> Array:
    states[:, 0] = 0.0
    return states
