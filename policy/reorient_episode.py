"""One scored episode in the simulated world: start, control at 12 Hz, done or limit, verdict half a second later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.contract import Goal, Policy, SceneState
from knuckle.policy.reorient_runner import ReorientRunner
from knuckle.policy.reorient_score import TIME_LIMIT_S, EpisodeScore
from knuckle.policy.stillness import goal_angle
from knuckle.sim.objects import OBJECTS
from knuckle.sim.world import SimWorld

Watcher = Callable[[SimWorld, float], None]


@dataclass(frozen=True)
class Start:
    """How an episode begins: the object, the seed of its placement, and the goal's quaternion (w x y z, world)."""

    object_name: str
    seed: int
    quaternion: np.ndarray


def draw_starts(seed: int, episodes: int, objects: tuple[str, ...] = tuple(OBJECTS)) -> list[Start]:
    """``episodes`` starts: objects in turn, goals uniform over SO(3); the first n do not depend on how many follow."""
    starts = []
    for k in range(episodes):
        rng = np.random.default_rng([seed, k])
        starts.append(Start(objects[k % len(objects)], int(rng.integers(2**31)), rotations.random(rng, 1)[0]))
    return starts


def scene_state(world: SimWorld) -> SceneState:
    """The privileged state of the scene."""
    hand, truth = world.read(), world.object_truth()
    return SceneState(hand.stamp_ns, hand.q, hand.dq, truth.position, truth.quaternion, truth.velocity, truth.spin)


def run_episode(hand: HandSpec, policy: Policy, start: Start, *, watch: Watcher | None = None) -> EpisodeScore:
    """Play one episode and score it by the protocol. ``watch`` sees the world and the angle at every control step.

    The command of a control step is in force from the state it answers: planning takes no simulated time.
    """
    world = SimWorld(hand, start.object_name, seed=start.seed)
    world.arm()
    runner = ReorientRunner(hand, policy)
    state = scene_state(world)
    goal = Goal(start.object_name, start.quaternion, time_limit_s=TIME_LIMIT_S)
    start_angle = goal_angle(state, goal.quaternion)
    begun, watching, start_ns, k = time.perf_counter(), 0.0, state.stamp_ns, 0
    runner.start(goal, state)
    while (step := runner.step(state)).verdict is None:
        if watch is not None:
            looked = time.perf_counter()
            watch(world, step.angle)
            watching += time.perf_counter() - looked
        k += 1
        until = start_ns + round(k * 1e9 / hand.control_rate_hz)
        world.send(HandCommand(state.stamp_ns, until, step.target))
        world.advance(until)
        state = scene_state(world)
    verdict = step.verdict
    return EpisodeScore(
        object_name=start.object_name,
        start_angle=start_angle,
        final_angle=verdict.angle,
        declared_done=verdict.declared_done,
        still=verdict.stillness.still,
        dropped=verdict.outcome == "dropped",
        duration=verdict.duration,
        wall=time.perf_counter() - begun - watching,
    )
