"""An episode as a learner sees it: what was observed and done at each control step, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.contract import Goal, Policy, PolicySpec, SceneState
from knuckle.policy.reorient_episode import Start
from knuckle.policy.reorient_task import ReorientTask
from knuckle.policy.stillness import goal_angle
from knuckle.sim.reorient.observation import ReorientObservation


@dataclass(frozen=True)
class Episode:
    """``observations`` (T+1, width) float32, ``actions`` (T, dof) float32, ``angles`` (T+1,) rad left; ``facts`` of its
    start, its goal and its end, which JSON can hold."""

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    angles: NDArray[np.float32]
    facts: dict[str, Any]

    def arrays(self) -> dict[str, Any]:
        """What is kept of it beside the facts, by name."""
        return {"observations": self.observations, "actions": self.actions, "angles": self.angles}


class Recorded(Protocol):
    """What a collection keeps of an episode: arrays by name, and facts that JSON can hold, ``succeeded`` among them."""

    @property
    def facts(self) -> dict[str, Any]:
        """Of its start, its goal and its end."""
        ...

    def arrays(self) -> dict[str, Any]:
        """What is kept of it beside the facts, by name."""
        ...


class Recorder:
    """``policy`` itself, noting what it sees, by the one observation builder, and what it answers."""

    def __init__(self, hand: HandSpec, policy: Policy) -> None:
        self.policy = policy
        self._build, self._chart = ReorientObservation(hand), ActionMap(hand)
        self.seen: list[Array] = []
        self.done: list[Array] = []
        self.angles: list[float] = []

    @property
    def spec(self) -> PolicySpec:
        """What the policy is for."""
        return self.policy.spec

    def check(self, goal: Goal) -> None:
        """As the policy does."""
        self.policy.check(goal)

    def reset(self, goal: Goal) -> None:
        """Begin ``goal`` and a new record."""
        self.policy.reset(goal)
        self.goal = goal
        self._smoothed = np.zeros(self._build.hand.dof)
        self.seen, self.done, self.angles = [], [], []

    def act(self, state: SceneState) -> tuple[Array, float]:
        """The policy's answer, noted."""
        joints, turned = (state.q, state.dq), (state.position, state.quaternion)
        moving = (state.velocity, state.spin)
        self.seen.append(self._build(*joints, *turned, *moving, self.goal.quaternion, self._smoothed))
        self.angles.append(goal_angle(state, self.goal.quaternion))
        action, done = self.policy.act(state)
        self.done.append(np.asarray(action, dtype=np.float64))
        self._smoothed = self._chart.smooth(action, self._smoothed)
        return action, done

    def close(self) -> None:
        """As the policy does."""
        self.policy.close()


def record(task: ReorientTask, k: int) -> Episode:
    """Episode ``k`` of ``task``, the same however many there are, played and recorded."""
    return record_episode(task, task.start(k), task.policy(k), {"episode": k})


def record_episode(task: ReorientTask, start: Start, policy: Policy, facts: Mapping[str, Any]) -> Episode:
    """``start`` played by ``policy``, which is closed then, and recorded; ``facts`` stand before those of the episode.

    The answer to the last observation, which came with done or at the limit, is never carried out and is left out.
    """
    recorder = Recorder(hand_spec(task.hand, where="--hand"), policy)
    score = task.play(start, recorder)
    told = {
        "object": start.object_name,
        "placement_seed": start.seed,
        "goal_seed": start.goal_seed,
        "goal": [float(x) for x in recorder.goal.quaternion],
        "start_angle_rad": score.start_angle,
        "final_angle_rad": score.final_angle,
        "declared_done": score.declared_done,
        "still": score.still,
        "dropped": score.dropped,
        "succeeded": score.succeeded(recorder.goal.tolerance_rad),
        "duration_s": score.duration,
        "cpu_s": score.cpu,
    }
    return Episode(
        np.asarray(recorder.seen, dtype=np.float32),
        np.asarray(recorder.done[:-1], dtype=np.float32).reshape(-1, len(recorder.spec.joint_names)),
        np.asarray(recorder.angles, dtype=np.float32),
        dict(facts) | told,
    )
