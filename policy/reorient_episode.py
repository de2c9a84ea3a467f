"""One scored episode in the simulated world: start, control at 12 Hz, done or limit, verdict half a second later.

More goals may follow in the same episode, as they do on a hand that works: each begins where the last one ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import Goal, Policy, SceneState
from knuckle.policy.reorient_runner import ReorientRunner
from knuckle.policy.reorient_score import TIME_LIMIT_S, EpisodeScore
from knuckle.policy.stillness import goal_angle
from knuckle.sim.objects import TRAIN
from knuckle.sim.reorient.rungs import draw_goal, find_rung
from knuckle.sim.world import TABLE_REMOVAL_S, SimWorld

SURFACES = ("table", "air")

Watcher = Callable[[SimWorld, Goal, float], None]
"""Sees the world, the goal and the angle that is left at every control step."""


class StateSource(Protocol):
    """Where an episode's scene states come from: the simulation's truth, or perception."""

    def state(self) -> SceneState:
        """The state of the scene now."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class Privileged:
    """The truth of ``world``."""

    def __init__(self, world: SimWorld) -> None:
        self.world = world

    def state(self) -> SceneState:
        """The state of the scene now."""
        return scene_state(self.world)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Start:
    """How an episode begins: the object, where it lies (``seed`` of its placement), and how its goal is drawn.

    The goal is drawn by ``rung`` with ``goal_seed`` from where the object has come to rest on the table.
    """

    object_name: str
    seed: int
    goal_seed: int
    rung: str = "so3"
    surface: str = "table"


def draw_starts(
    seed: int, episodes: int, objects: tuple[str, ...] = TRAIN, *, rung: str = "so3", surface: str = "table"
) -> list[Start]:
    """``episodes`` starts: every object once, in an order of its own, then again; the first n do not depend on how many
    follow.

    InputError for an unknown rung or surface.
    """
    return [draw_start(seed, k, objects, rung=rung, surface=surface) for k in range(episodes)]


def draw_start(
    seed: int, k: int, objects: tuple[str, ...] = TRAIN, *, rung: str = "so3", surface: str = "table"
) -> Start:
    """Start ``k`` of `draw_starts`, without those before it. InputError for an unknown rung or surface."""
    find_rung(rung, where="rung")
    if surface not in SURFACES:
        raise unknown_name("world", surface, SURFACES)
    round_of_all, place_in_it = divmod(k, len(objects))
    turns, rng = np.random.default_rng([seed, 0, round_of_all]), np.random.default_rng([seed, 1, k])
    order = turns.permutation(len(objects))
    place, goal = (int(n) for n in rng.integers(2**31, size=2))
    return Start(objects[order[place_in_it]], place, goal, rung, surface)


def scene_state(world: SimWorld) -> SceneState:
    """The privileged state of the scene."""
    hand, truth = world.read(), world.object_truth()
    return SceneState(hand.stamp_ns, hand.q, hand.dq, truth.position, truth.quaternion, truth.velocity, truth.spin)


def begin(hand: HandSpec, start: Start) -> tuple[SimWorld, Goal]:
    """The world of ``start``, armed, and its goal."""
    world = SimWorld(hand, start.object_name, seed=start.seed, surface=start.surface)
    world.arm()
    lies = world.object_truth().quaternion
    quaternion: Array = draw_goal(start.rung, lies, np.random.default_rng(start.goal_seed))
    table_s = TABLE_REMOVAL_S if start.surface == "air" else math.inf
    return world, Goal(start.object_name, quaternion, time_limit_s=TIME_LIMIT_S, table_s=table_s)


def run_episode(
    hand: HandSpec,
    policy: Policy,
    start: Start,
    *,
    goals: int = 1,
    watch: Watcher | None = None,
    perceive: Callable[[SimWorld], StateSource] = Privileged,
) -> EpisodeScore:
    """Play one episode and score it by the protocol, on the world's truth whatever the policy sees of it.

    ``watch`` sees every control step; ``perceive`` makes the policy's source of states. The command of a control step
    is in force from the state it answers: planning and perceiving take no simulated time. ``goals`` are given one after
    another, those after the first from where the one before it ended, until the object is dropped.
    """
    world, goal = begin(hand, start)
    source = perceive(world)
    runner = ReorientRunner(hand, policy)
    try:
        scores = [_pursue(world, runner, source, start, goal, watch)]
        while len(scores) < goals and not scores[-1].dropped:
            lies, rng = world.object_truth().quaternion, np.random.default_rng([start.goal_seed, len(scores)])
            goal = replace(goal, quaternion=draw_goal(start.rung, lies, rng))
            scores.append(_pursue(world, runner, source, start, goal, watch))
    finally:
        source.close()
    return replace(scores[0], later=tuple(scores[1:]))


def _pursue(
    world: SimWorld, runner: ReorientRunner, source: StateSource, start: Start, goal: Goal, watch: Watcher | None
) -> EpisodeScore:
    """One goal, from the world as it is to the verdict."""
    hand, truth = runner.hand, scene_state(world)
    start_angle, start_ns = goal_angle(truth, goal.quaternion), truth.stamp_ns
    begun, watched = _now(), np.zeros(2)
    state = _first_seen(world, source, hand, start_ns + round((goal.head_start_s + goal.time_limit_s) * 1e9))
    truth = scene_state(world)
    if state is None:
        return _never_seen(start, goal, start_angle, _now() - begun)
    k = round((truth.stamp_ns - start_ns) * 1e-9 * hand.control_rate_hz)
    runner.start(goal, state, given_ns=start_ns)
    while (step := runner.step(state, truth)).verdict is None:
        if watch is not None:
            looked = _now()
            watch(world, goal, step.angle)
            watched += _now() - looked
        k += 1
        until = start_ns + round(k * 1e9 / hand.control_rate_hz)
        world.send(HandCommand(truth.stamp_ns, until, step.target))
        world.advance(until)
        truth, state = scene_state(world), source.state()
    wall, cpu = _now() - begun - watched
    verdict = step.verdict
    return EpisodeScore(
        object_name=start.object_name,
        start_angle=start_angle,
        final_angle=verdict.angle,
        declared_done=verdict.declared_done,
        still=verdict.stillness.still,
        dropped=verdict.outcome == "dropped",
        duration=verdict.duration,
        wall=float(wall),
        cpu=float(cpu),
    )


def _first_seen(world: SimWorld, source: StateSource, hand: HandSpec, until_ns: int) -> SceneState | None:
    """The first state that ``source`` can give; until then the hand keeps its posture. None where there is none.

    A camera may see too little of the object to know where it is: that is a failure to be counted, not an error.
    """
    begun, k = world.now_ns, 0
    while world.now_ns < until_ns:
        try:
            return source.state()
        except InputError:
            k += 1
            world.advance(begun + round(k * 1e9 / hand.control_rate_hz))
    return None


def _never_seen(start: Start, goal: Goal, angle: float, cost: Array) -> EpisodeScore:
    """The score of an episode in which the object was never found: nothing was done."""
    wall, cpu = (float(c) for c in cost)
    return EpisodeScore(start.object_name, angle, angle, False, False, False, goal.time_limit_s, wall, cpu)


def _now() -> Array:
    """Wall and processor time, s: what an episode cost, never what it does."""
    return np.array([time.perf_counter(), time.process_time()])
