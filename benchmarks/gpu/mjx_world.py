"""Many worlds of reorientation on MJX: `BatchWorld` without randomisation, as pure functions for JAX.

A step is one control step: action map, physics, reward, success with a new goal, and a new episode where one ended.
World k has the object ``objects[k % len(objects)]``; what differs between objects in their models is batched.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jp
import numpy as np
from jax_task import Task, TipWalk, angle_left, draw_goal, fallen, norm
from mjx_scene import training_models
from mujoco import mjx

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.sim.reorient.physics import control_substeps
from knuckle.sim.reorient.reward import RewardConfig
from knuckle.sim.scene import TABLE_AWAY_M, TABLE_GEOM
from knuckle.sim.state_guard import SANE
from knuckle.sim.world import TABLE_REMOVAL_S

ALWAYS = 1 << 30
_STARTS = ("settled", "grasps", "grasp_count", "held", "held_count")
# What MJX notes of a model and never computes with where there is no height field.
_IDLE = frozenset({"geom_sameframe", "geom_rbound_hfield"})


def read_starts(path: Path, hand: HandSpec, objects: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The starts that `pack_starts.py` wrote, of ``objects`` in their order; InputError where they do not fit."""
    right = "a file of pack_starts.py for this hand and these objects"
    try:
        with np.load(path, allow_pickle=False) as stored:
            packed = {name: stored[name] for name in ("hand", "objects", *_STARTS)}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"the starts cannot be read ({error})", where=str(path), right=right) from error
    names = [str(name) for name in packed["objects"]]
    if str(packed["hand"]) != hand.name or not set(objects) <= set(names):
        raise InputError(f"starts of {packed['hand']} with {', '.join(names)}", where=str(path), right=right)
    order = [names.index(name) for name in objects]
    return {name: packed[name][order] for name in _STARTS}


def stacked(models: list[Any], of_world: np.ndarray) -> tuple[Any, Any]:
    """One MJX model for all worlds, world k with the numbers of ``models[of_world[k]]``, and its axes for vmap."""
    put = [mjx.put_model(model) for model in models]
    for other in put[1:]:
        if odd := sorted(set(_constants_that_differ(put[0], other)) - _IDLE):
            raise InputError(f"models differ in {', '.join(odd)}", where="models", right="one structure")
    leaves = [jax.tree_util.tree_leaves(model) for model in put]
    structure, first = jax.tree_util.tree_structure(put[0]), leaves[0]
    values, axes = [], []
    for k, leaf in enumerate(first):
        column = [np.asarray(of_one[k]) for of_one in leaves]
        if all(np.array_equal(column[0], other) for other in column[1:]):
            values.append(leaf)
            axes.append(None)
        else:
            values.append(jp.asarray(np.stack(column)[of_world]))
            axes.append(0)
    return jax.tree_util.tree_unflatten(structure, values), jax.tree_util.tree_unflatten(structure, axes)


class MjxWorld:
    """``worlds`` worlds of ``hand`` with ``objects``, beginning as ``starts`` (of `read_starts`) and ``kind`` say.

    ``surface`` table or air; ``held_share`` of the episodes begin in a grasp that holds, the table gone.
    """

    def __init__(
        self,
        hand: HandSpec,
        objects: tuple[str, ...],
        worlds: int,
        starts: dict[str, np.ndarray],
        kind: str,
        reward: RewardConfig,
        *,
        episode_s: float,
        surface: str,
        held_share: float,
        pairs: int,
        contacts: int,
        iterations: int,
    ) -> None:
        if reward.table_contact != 0.0:
            right = "table_contact 0: MJX has no such sensor"
            raise InputError(f"table_contact {reward.table_contact:g}", where="reward", right=right)
        settings = {"pairs": pairs, "contacts": contacts, "iterations": iterations}
        scenes, self.models = training_models(hand, objects, **settings)
        self.task, self.layout, self.worlds = Task(hand, reward, TipWalk(hand)), scenes[0], worlds
        self.of_world = np.arange(worlds) % len(objects)
        self.model, self.axes = stacked(self.models, self.of_world)
        self.blank = mjx.make_data(mjx.put_model(self.models[0]))
        self.substeps = control_substeps(scenes[0])
        self.limit = round(episode_s * hand.control_rate_hz)
        self.grasp_share = {"settled": 0.0, "mixed": 0.5, "grasp": 1.0}[kind]
        self.starts = {name: jp.asarray(array) for name, array in starts.items()}
        self.object_of_world = jp.asarray(self.of_world)
        self.held_share = held_share
        self.removal = round(TABLE_REMOVAL_S * hand.control_rate_hz) if surface == "air" else ALWAYS
        self.table = int(self.models[0].geom(TABLE_GEOM).id)

    def begin(self, key: Any, shares: Any) -> tuple[dict[str, Any], Any]:
        """All worlds at the beginning of an episode, and their observations; ``shares`` (rungs,) of the goals."""
        keys = jax.random.split(key, self.worlds)
        state = jax.vmap(self._begin, in_axes=(0, 0, None))(keys, self.object_of_world, shares)
        return state, jax.vmap(self._observed)(state)

    def step(self, state: dict[str, Any], action: Any, key: Any, shares: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """One control step of all worlds under ``action`` (worlds, dof): the new states, and what there is to learn
        from: ``seen`` (the next observation), ``last`` (that before a new episode began), ``reward``, ``terminated``,
        ``truncated``, ``won`` and ``rung`` of the episode, ``five``, ``broken``, and the terms of the reward."""
        keys = jax.random.split(key, self.worlds)
        return jax.vmap(self._step, in_axes=(self.axes, 0, 0, 0, 0, None))(
            self.model, state, action, keys, self.object_of_world, shares
        )

    def physics(self, model: Any, qpos: Any, qvel: Any, warm: Any, target: Any) -> tuple[Any, Any, Any]:
        """One control step of one world under a joint ``target``."""
        data = self.blank.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warm, ctrl=target)
        data, _ = jax.lax.scan(lambda d, _: (mjx.step(model, d), None), data, None, length=self.substeps)
        return data.qpos, data.qvel, data.qacc_warmstart

    def _parts(self, state: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
        """Joint angles and rates, the object's pose and twist."""
        at, qpos, qvel = self.layout, state["qpos"], state["qvel"]
        return qpos[at.joint_q], qvel[at.joint_v], qpos[at.object_q], qvel[at.object_v]

    def _observed(self, state: dict[str, Any]) -> Any:
        return self.task.observe(*self._parts(state), state["goal"], state["smoothed"])

    def _begin(self, key: Any, thing: Any, shares: Any) -> dict[str, Any]:
        pool, which, rung_key, goal_key, lift = jax.random.split(key, 5)
        grasps = self.starts["grasp_count"][thing]
        in_grasp = (jax.random.uniform(pool) < self.grasp_share) & (grasps > 0)
        place = jax.random.uniform(which)
        resting = self.starts["settled"][thing]
        count = jp.where(in_grasp, grasps, resting.shape[0])
        k = jp.minimum((place * count).astype(jp.int32), count - 1)
        held = self.starts["grasps"][thing]
        start = jp.where(in_grasp, held[jp.minimum(k, held.shape[0] - 1)], resting[jp.minimum(k, len(resting) - 1)])
        lifted, holds = jax.random.uniform(lift) < self.held_share, self.starts["held_count"][thing]
        aloft = lifted & (holds > 0)
        of_held = self.starts["held"][thing][jp.minimum((place * holds).astype(jp.int32), jp.maximum(holds - 1, 0))]
        # As on the CPU: an object that no grasp holds begins in its first resting pose, on the table.
        start = jp.where(aloft, of_held, jp.where(lifted, resting[0], start))
        qpos, qvel = start[1 : 1 + self.layout.model.nq], start[1 + self.layout.model.nq :]
        pose = qpos[self.layout.object_q]
        turn = pose[3:] / norm(pose[3:])
        rung = jax.random.choice(rung_key, shares.shape[0], p=shares)
        goal = draw_goal(goal_key, rung, turn)
        return {
            "qpos": qpos,
            "qvel": qvel,
            "warm": jp.zeros_like(qvel),
            "smoothed": jp.zeros(self.task.hand.dof),
            "goal": goal,
            "rung": rung,
            "steps": jp.zeros((), jp.int32),
            "table_until": jp.where(aloft, -1, self.removal),
            "start": pose[:3],
            "before": angle_left(turn, goal),
            "won": jp.zeros((), bool),
        }

    def _step(
        self, model: Any, state: dict[str, Any], action: Any, key: Any, thing: Any, shares: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        goal_key, begin_key = jax.random.split(key)
        now = dict(state)
        now["smoothed"] = self.task.smooth(action, state["smoothed"])
        target = self.task.target(self._parts(state)[0], now["smoothed"])
        gone = state["steps"] >= state["table_until"]
        height = jp.where(gone, TABLE_AWAY_M, model.geom_pos[self.table, 2])
        model = model.replace(geom_pos=model.geom_pos.at[self.table, 2].set(height))
        moved = dict(
            zip(
                ("qpos", "qvel", "warm"),
                self.physics(model, state["qpos"], state["qvel"], state["warm"], target),
                strict=True,
            )
        )
        sane = jp.maximum(jp.abs(moved["qpos"]).max(), jp.abs(moved["qvel"]).max()) < SANE
        now |= {name: jp.where(sane, moved[name], state[name]) for name in moved}
        now["warm"] = jp.where(sane, now["warm"], 0.0)
        now["steps"] = state["steps"] + 1
        outcome, five = self.outcome(now, target)
        terms = self.task.terms(outcome)
        success = outcome["success"] & sane
        now["won"] = state["won"] | success
        turn = now["qpos"][self.layout.object_q][3:]
        fresh = draw_goal(goal_key, now["rung"], turn / norm(turn))
        now["goal"] = jp.where(success, fresh, state["goal"])
        now["smoothed"] = jp.where(success, 0.0, now["smoothed"])
        now["before"] = angle_left(turn / norm(turn), now["goal"])
        terminated = outcome["fallen"]
        truncated = ((now["steps"] >= self.limit) & ~terminated) | ~sane
        done = terminated | truncated
        last = self._observed(now)
        begun = self._begin(begin_key, thing, shares)
        after = {name: jp.where(done, begun[name], now[name]) for name in now}
        out = {
            "seen": self._observed(after),
            "last": last,
            "reward": jp.where(sane, sum(terms.values()), 0.0),
            "terminated": terminated,
            "truncated": truncated,
            "won": now["won"],
            "rung": now["rung"],
            "held": now["table_until"] < 0,
            "five": five & sane,
            "broken": ~sane,
        }
        return after, out | {f"reward_{name}": term for name, term in terms.items()}

    def outcome(self, now: dict[str, Any], target: Any) -> tuple[dict[str, Any], Any]:
        """What a step led to, as `Outcome` names it, and whether the five conditions hold."""
        q, dq, pose, twist = self._parts(now)
        angle = angle_left(pose[3:] / norm(pose[3:]), now["goal"])
        success, five = self.task.judged(angle, dq, twist, now["smoothed"])
        tips, aloft = self.task.walk(q, dq)[..., :3], now["steps"] > now["table_until"]
        outcome = {
            "angle": angle,
            "success": success,
            "fallen": fallen(pose[:3], now["start"], tips, aloft),
            "on_table": jp.zeros((), bool),
            "tips": tips,
            "position": pose[:3],
            "dq": dq,
            "torque": self.task.torque(target, q, dq),
            "before": now["before"],
            "action": now["smoothed"],
            "offset": norm((pose[:3] - now["start"])[:2]),
        }
        return outcome, five


def _constants_that_differ(a: Any, b: Any, prefix: str = "") -> list[str]:
    """The fields of two MJX models that are no arrays on the device and are not equal."""
    odd = []
    for field in dataclasses.fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if dataclasses.is_dataclass(one):
            odd += _constants_that_differ(one, other, f"{prefix}{field.name}.")
        elif isinstance(one, np.ndarray):
            odd += [] if np.array_equal(one, other) else [field.name]
        elif not isinstance(one, jax.Array) and one != other:
            odd.append(field.name)
    return odd
