"""Holds the task in JAX against the CPU's, on the same states. Fails where a figure is above its bound.

    JAX_PLATFORMS=cpu PYTHONPATH=src python benchmarks/gpu/check_equal.py --no-physics
    JAX_PLATFORMS=cpu PYTHONPATH=src python benchmarks/gpu/check_equal.py --starts starts.npz --object truck

With physics, one control step of MJX is compared with MuJoCo's own on the same model and with the scene that the CPU
learns in; those two figures are printed, and only the first one is bounded: shapes differ in the other.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jp
import numpy as np
from jax_task import RUNG_NAMES, Task, TipWalk, draw_goal
from mjx_world import MjxWorld, read_starts
from ppo_update import advantages
from to_policy import acted
from turned_networks import TurnedNetworks, scaled

from knuckle.core import rotations
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.policy.learned.train_config import SHAPED
from knuckle.sim.engine import mujoco
from knuckle.sim.reorient.hand_symmetry import HandSymmetry
from knuckle.sim.reorient.observation import ReorientObservation
from knuckle.sim.reorient.reward import Outcome, RewardConfig, reward_terms, servo_torque
from knuckle.sim.reorient.rungs import RUNGS
from knuckle.sim.reorient.success import SUCCESS_ANGLE, at_rest, norms

N = 64
HAND = hand_spec("dclaw3")
PHYSICS_M = 2e-3


def states(rng: np.random.Generator) -> dict[str, Any]:
    """Random states of hand and object, (N, ...)."""
    return {
        "q": rng.uniform(HAND.lower, HAND.upper, (N, HAND.dof)),
        "dq": 0.3 * rng.standard_normal((N, HAND.dof)),
        "position": 0.05 * rng.standard_normal((N, 3)),
        "quaternion": rotations.random(rng, N),
        "velocity": 0.05 * rng.standard_normal((N, 3)),
        "spin": 0.5 * rng.standard_normal((N, 3)),
        "goal": rotations.random(rng, N),
        "previous_action": rng.uniform(-1.0, 1.0, (N, HAND.dof)),
    }


def observation(task: Task, rng: np.random.Generator) -> float:
    """The largest difference in a column."""
    s = states(rng)
    pose = np.concatenate([s["position"], s["quaternion"]], axis=1)
    local = rotations.rotate(rotations.conjugate(s["quaternion"]), s["spin"])
    twist = np.concatenate([s["velocity"], local], axis=1)
    ours = task.observe(*(jp.asarray(a) for a in (s["q"], s["dq"], pose, twist, s["goal"], s["previous_action"])))
    return _apart(ours, ReorientObservation(HAND)(**s))


def reward(rng: np.random.Generator, config: RewardConfig) -> dict[str, float]:
    """The largest difference in each term, of outcomes on both sides of every threshold, relative to its size."""
    fields = {
        "angle": rng.uniform(0.0, 3.1, N),
        "success": rng.random(N) < 0.5,
        "fallen": rng.random(N) < 0.5,
        "on_table": rng.random(N) < 0.5,
        "tips": rng.uniform(-0.1, 0.25, (N, 3, 3)),
        "position": 0.05 * rng.standard_normal((N, 3)),
        "dq": rng.standard_normal((N, HAND.dof)),
        "torque": 2.0 * rng.standard_normal((N, HAND.dof)),
        "before": rng.uniform(0.0, 3.1, N),
        "action": rng.uniform(-1.0, 1.0, (N, HAND.dof)),
        "offset": rng.uniform(0.0, 0.1, N),
    }
    theirs = reward_terms(Outcome(**fields), config)
    ours = Task(HAND, config, TipWalk(HAND)).terms({name: jp.asarray(value) for name, value in fields.items()})
    assert set(ours) == set(theirs)
    sizes = {name: max(1.0, float(np.abs(term).max())) for name, term in theirs.items()}
    return {f"reward {name}": _apart(ours[name], theirs[name]) / sizes[name] for name in theirs}


def conditions(rng: np.random.Generator) -> float:
    """In how many of the states success or the five conditions come out otherwise."""
    odd = 0
    for needs, slack in (("five", 1.0), ("object", 1.0), ("object", 4.0)):
        config = dataclasses.replace(SHAPED, success_needs=needs, rest_slack=slack)
        task = Task(HAND, config, TipWalk(HAND))
        angle, dq = rng.uniform(0.2, 0.6, N), 0.1 * rng.standard_normal((N, HAND.dof))
        twist = rng.standard_normal((N, 6)) * np.repeat([0.025, 0.3], 3)
        action = 0.33 * rng.standard_normal((N, HAND.dof))
        success, five = task.judged(*(jp.asarray(a) for a in (angle, dq, twist, action)))
        speed, spin, near = norms(twist[:, :3]), norms(twist[:, 3:]), angle <= SUCCESS_ANGLE
        wanted = near & at_rest(norms(dq), speed, spin, norms(action))
        loose = near & at_rest(0, speed / slack, spin / slack, 0)
        assert 0 < wanted.sum() < N
        assert 0 < loose.sum() < N
        odd += int((np.asarray(five) != wanted).sum())
        odd += int((np.asarray(success) != (wanted if needs == "five" else loose)).sum())
    return float(odd)


def servo(task: Task, rng: np.random.Generator) -> float:
    """The largest difference in smoothing, target or torque."""
    chart, s = ActionMap(HAND), states(rng)
    action = 1.5 * rng.standard_normal((N, HAND.dof))
    smoothed = chart.smooth(action, s["previous_action"])
    target = chart.target(s["q"], smoothed)
    kp, kd = (np.array([getattr(joint, name) for joint in HAND.joints]) for name in ("stiffness", "damping"))
    torque = servo_torque(target, s["q"], s["dq"], kp, kd, HAND.effort_limit)
    q, dq = jp.asarray(s["q"]), jp.asarray(s["dq"])
    ours = task.smooth(jp.asarray(action), jp.asarray(s["previous_action"]))
    apart = (_apart(ours, smoothed), _apart(task.target(q, ours), target))
    return max(*apart, _apart(task.torque(task.target(q, ours), q, dq), torque))


def goals(rng: np.random.Generator) -> float:
    """How many goals lie outside their rung, or are turned about another axis."""
    odd = 0
    lies = rotations.random(rng, N)
    for place, name in enumerate(RUNG_NAMES):
        keys = jax.random.split(jax.random.key(place), N)
        drawn = np.asarray(jax.vmap(draw_goal, in_axes=(0, None, 0))(keys, place, jp.asarray(lies)), np.float64)
        angle, rung = rotations.angle_between(drawn, lies), RUNGS[name]
        odd += int(((angle < rung.low - 1e-4) | (angle > rung.high + 1e-4)).sum())
        if rung.axis == "vertical":
            turn = rotations.multiply(drawn, rotations.conjugate(lies))
            odd += int((np.abs(turn[:, 1:3]) > 1e-5).any(axis=1).sum())
            odd += int(not 0 < (turn[:, 3] * turn[:, 0] > 0).sum() < N)
    return float(odd)


def networks(rng: np.random.Generator, symmetric: bool) -> float:
    """The largest difference in an action from the arithmetic that is exported."""
    nets = TurnedNetworks(HAND, 16, 2, symmetric)
    params = nets.begin(jax.random.key(0), -1.2)
    params["actor.2.weight"] = params["actor.2.weight"] * 100.0
    s = states(rng)
    seen = ReorientObservation(HAND)(**s)
    normaliser = Normaliser(0.1 * rng.standard_normal(nets.columns), rng.uniform(0.2, 1.0, nets.columns), 10.0)
    turns = scaled(nets.turned(jp.asarray(seen)), jp.asarray(normaliser.mean), jp.asarray(normaliser.std), 10.0)
    layers = [
        tuple(np.asarray(params[f"actor.{k}.{part}"], np.float64) for part in ("weight", "bias")) for k in range(3)
    ]
    symmetry = HandSymmetry(HAND) if symmetric else None
    wanted: Any = acted(seen, normaliser, layers, symmetry)  # type: ignore[arg-type]
    return _apart(nets.mean_action(params, turns), wanted)


def gae(rng: np.random.Generator) -> float:
    """The largest difference from the advantages written out as a sum."""
    steps, n, gamma, lam = 7, 5, 0.98, 0.95
    reward, value = rng.standard_normal((2, steps, n))
    done, last = rng.random((steps, n)) < 0.3, rng.standard_normal(n)
    after = np.concatenate([value[1:], last[None]])
    delta = reward + gamma * after * ~done - value
    wanted = np.zeros((steps, n))
    for t in range(steps):
        weight = np.ones(n)
        for k in range(t, steps):
            wanted[t] += weight * delta[k]
            weight = weight * gamma * lam * ~done[k]
    batch = {"reward": jp.asarray(reward), "value": jp.asarray(value), "done": jp.asarray(done)}
    return _apart(advantages(batch, jp.asarray(last), gamma, lam), wanted)


def physics(starts: Path, thing: str, pairs: int, contacts: int) -> dict[str, float]:
    """How far joints and object are, after one control step of MJX under a target, from MuJoCo's on the same model and
    from the CPU learner's scene: the largest over the starts, rad and m."""
    packed = read_starts(starts, HAND, (thing,))
    settings = {
        "episode_s": 10.0,
        "surface": "table",
        "held_share": 0.0,
        "pairs": pairs,
        "contacts": contacts,
        "iterations": 10,
    }
    world = MjxWorld(HAND, (thing,), 1, packed, "mixed", SHAPED, **settings)
    at, grasps = world.layout, int(packed["grasp_count"][0])
    rows = np.concatenate([packed["settled"][0][:2], packed["grasps"][0][:grasps][:2]])
    nq = at.model.nq
    step = jax.jit(lambda qpos, qvel, target: world.physics(world.model, qpos, qvel, jp.zeros_like(qvel), target))
    begun, out = time.perf_counter(), {"joints_same": 0.0, "object_same": 0.0, "joints_scene": 0.0, "object_scene": 0.0}
    for row in rows:
        qpos, qvel = row[1 : 1 + nq], row[1 + nq :]
        target = np.clip(qpos[at.joint_q] + 0.1, HAND.lower, HAND.upper)
        ours = np.asarray(step(jp.asarray(qpos), jp.asarray(qvel), jp.asarray(target, jp.float32))[0])
        for name, model in (("same", world.models[0]), ("scene", at.model)):
            data = mujoco.MjData(model)
            data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, target
            mujoco.mj_step(model, data, world.substeps)
            joints, body = at.joint_q, slice(at.object_q.start, at.object_q.start + 3)
            out[f"joints_{name}"] = max(out[f"joints_{name}"], float(np.abs(ours[joints] - data.qpos[joints]).max()))
            out[f"object_{name}"] = max(out[f"object_{name}"], float(np.abs(ours[body] - data.qpos[body]).max()))
    return out | {"seconds": time.perf_counter() - begun}


def bookkeeping(starts: Path, thing: str) -> float:
    """How many of the world's promises about ends of episodes are broken, with a physics that is put in its place."""
    packed, n = read_starts(starts, HAND, (thing,)), 8
    settings = {"episode_s": 0.25, "pairs": 8, "contacts": 8, "iterations": 4}
    world = MjxWorld(HAND, (thing,), n, packed, "mixed", SHAPED, surface="air", held_share=0.5, **settings)
    shares, still = jp.asarray([1.0, 0.0, 0.0, 0.0, 0.0]), jp.zeros((n, HAND.dof))
    state, _ = world.begin(jax.random.key(0), shares)
    held, at = np.asarray(state["table_until"]) < 0, world.layout.object_q.start
    kept = {name: [] for name in ("stays", "leaves", "breaks")}
    moved = {
        "stays": lambda model, qpos, qvel, warm, target: (qpos, 0.0 * qvel, warm),
        "leaves": lambda model, qpos, qvel, warm, target: (qpos.at[at].add(0.2), qvel, warm),
        "breaks": lambda model, qpos, qvel, warm, target: (qpos * jp.nan, qvel, warm),
    }
    for name, physics_of in moved.items():
        world.physics = physics_of  # type: ignore[method-assign]
        step, now = jax.jit(world.step), state
        for k in range(world.limit):
            now, out = step(now, still, jax.random.key(k), shares)
            kept[name].append({key: np.asarray(value) for key, value in (now | out).items()})
    first, last = kept["stays"][0], kept["stays"][-1]
    gone, broken = kept["leaves"][0], kept["breaks"][0]
    promises = [
        0 < held.sum() < n if packed["held_count"].any() else not held.any(),
        not (first["truncated"] | first["terminated"]).any(),
        (first["steps"] == 1).all() and np.allclose(first["seen"], first["last"]),
        (last["truncated"] & ~last["terminated"]).all() and (last["steps"] == 0).all(),
        not np.allclose(last["seen"], last["last"]),
        (gone["terminated"] & ~gone["truncated"]).all() and (gone["steps"] == 0).all(),
        np.allclose(gone["reward_fall"], SHAPED.scale * SHAPED.fall),
        (broken["broken"] & broken["truncated"]).all() and not broken["won"].any(),
        (broken["reward"] == 0.0).all() and np.isfinite(broken["seen"]).all() and np.isfinite(broken["last"]).all(),
    ]
    return float(sum(not bool(held_to) for held_to in promises))


def _apart(ours: Any, theirs: Any) -> float:
    return float(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)).max())


def main() -> int:
    """Print every figure with its bound; 1 where one is above."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--no-physics", action="store_true")
    parser.add_argument("--starts", type=Path)
    parser.add_argument("--object", default="truck")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--contacts", type=int, default=16)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    task = Task(HAND, SHAPED, TipWalk(HAND))
    squares = dataclasses.replace(SHAPED, tip_distance_form="sum_of_squares", table_contact=-1.0, penultimate=-2.0)
    found = {
        "observation": (observation(task, rng), 1e-5),
        "servo": (servo(task, rng), 1e-5),
        "conditions that differ": (conditions(rng), 0.0),
        "goals outside their rung": (goals(rng), 0.0),
        "network, symmetric": (networks(rng, True), 1e-4),
        "network, plain": (networks(rng, False), 1e-4),
        "advantages": (gae(rng), 1e-5),
    }
    found |= {name: (value, 1e-5) for name, value in reward(rng, SHAPED).items()}
    found |= {f"{name}, every form": (value, 1e-5) for name, value in reward(rng, squares).items()}
    if not given.no_physics and given.starts is None:
        parser.error("--starts, or --no-physics")
    if not given.no_physics:
        figures = physics(given.starts, given.object, given.pairs, given.contacts)
        found["promises of the world that are broken"] = (bookkeeping(given.starts, given.object), 0.0)
        bounds = {"joints_same": PHYSICS_M, "object_same": PHYSICS_M}
        found |= {f"physics {name}": (value, bounds.get(name, np.inf)) for name, value in figures.items()}
    wrong = 0
    for name, (value, bound) in found.items():
        wrong += not value <= bound
        print(f"{'WRONG ' if not value <= bound else ''}{name}: {value:.3g} (at most {bound:g})")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
