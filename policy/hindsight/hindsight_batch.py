"""One update's transitions: from the replay and the planner, some with a goal that was reached later, all turned.

A goal that was reached is a goal that its episode shows the way to, whatever was asked for. And a scene turned by a
place of the hand is another scene of the same worth: each transition is turned at random.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.policy.hindsight.hindsight_config import Hindsight
from knuckle.policy.hindsight.hindsight_reward import angle_between, transition_reward
from knuckle.policy.hindsight.planner_episodes import PlannerEpisodes
from knuckle.policy.hindsight.replay import Replay
from knuckle.policy.hindsight.transitions import Transitions, joined
from knuckle.policy.hindsight.turned_scene import TurnedScene
from knuckle.sim.reorient.observation import ReorientObservation


@dataclass(frozen=True)
class Batch:
    """Tensors of n transitions: ``before`` and ``after`` (n, width), ``actions`` (n, dof), ``reward`` (n,), and
    ``ends`` (n,), 1 where nothing follows."""

    before: torch.Tensor
    actions: torch.Tensor
    after: torch.Tensor
    reward: torch.Tensor
    ends: torch.Tensor


def draw_batch(
    rng: np.random.Generator,
    replay: Replay,
    planner: PlannerEpisodes | None,
    scene: TurnedScene,
    run: Hindsight,
) -> Batch:
    """A batch as ``run`` has it; those of the planner stand last. All randomness is drawn from ``rng``."""
    config, build = run.config, scene.symmetry.build
    shown = int(config.batch * config.planner_share) if planner is not None else 0
    parts = [replay.draw(rng, config.batch - shown, config.future)]
    if planner is not None and shown:
        parts.append(planner.draw(rng, shown, config.future))
    drawn = in_hindsight(
        build, joined(parts), rng.random(config.batch) < config.hindsight, least_turn=config.least_turn
    )
    reward, ends = transition_reward(build, run.reward, drawn.before, drawn.after, drawn.fallen)
    places = torch.as_tensor(rng.integers(0, scene.symmetry.order, config.batch))
    return Batch(
        scene.turn(torch.as_tensor(drawn.before), places),
        scene.turn_actions(torch.as_tensor(drawn.actions), places).clamp(-1.0, 1.0),
        scene.turn(torch.as_tensor(drawn.after), places),
        torch.as_tensor(reward),
        torch.as_tensor(ends.astype(np.float32)),
    )


def in_hindsight(
    build: ReorientObservation, drawn: Transitions, chosen: NDArray[np.bool_], *, least_turn: float
) -> Transitions:
    """``drawn`` with the goal that was reached later where that is ``chosen`` (n,), known, and at least ``least_turn``
    rad from where the object lies; the others keep theirs.

    What was seen then always carries the goal of what was seen before: after a success the world had given a new one.
    """
    lies, goal = build.slices["object_quaternion"], build.slices["goal_quaternion"]
    far = angle_between(drawn.before[:, lies], drawn.later) > least_turn
    taken = (chosen & drawn.known & far)[:, None]
    goals = np.where(taken, drawn.later, drawn.before[:, goal])
    return replace(drawn, before=with_goals(build, drawn.before, goals), after=with_goals(build, drawn.after, goals))


def with_goals(
    build: ReorientObservation, rows: NDArray[np.float32], goals: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Observations (n, width) with ``goals`` (n, 4) in the place of theirs, by the one observation builder."""
    out = np.ascontiguousarray(rows.T, dtype=np.float64)
    build.write_goal(out, np.ascontiguousarray(goals.T, dtype=np.float64))
    return np.ascontiguousarray(out.T, dtype=np.float32)
