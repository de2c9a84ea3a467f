"""The controllers that any other must beat: doing nothing, and acting at random."""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import Goal, PolicySpec, SceneState
from knuckle.policy.goal_check import check_goal


class DoNothing:
    """Keeps the home posture and never declares itself done."""

    def __init__(self, hand: HandSpec) -> None:
        self.hand = hand

    @property
    def spec(self) -> PolicySpec:
        """What this policy is for."""
        return PolicySpec("nothing", self.hand.name, self.hand.joint_names, self.hand.control_rate_hz)

    def check(self, goal: Goal) -> None:
        """InputError where `goal_check` refuses the goal."""
        check_goal(goal)

    def reset(self, goal: Goal) -> None:
        """Nothing to remember."""

    def close(self) -> None:
        """Nothing to give back."""

    def act(self, state: SceneState) -> tuple[Array, float]:
        """Zero action: the posture is kept."""
        return np.zeros(self.hand.dof), 0.0


class RandomActions:
    """Uniform actions, the same for the same seed; never declares itself done."""

    def __init__(self, hand: HandSpec, seed: int = 0) -> None:
        self.hand = hand
        self.rng = np.random.default_rng(seed)

    @property
    def spec(self) -> PolicySpec:
        """What this policy is for."""
        return PolicySpec("random", self.hand.name, self.hand.joint_names, self.hand.control_rate_hz)

    def check(self, goal: Goal) -> None:
        """InputError where `goal_check` refuses the goal."""
        check_goal(goal)

    def reset(self, goal: Goal) -> None:
        """Nothing to remember."""

    def close(self) -> None:
        """Nothing to give back."""

    def act(self, state: SceneState) -> tuple[Array, float]:
        """Each joint's action uniform in [-1, 1]."""
        return self.rng.uniform(-1.0, 1.0, self.hand.dof), 0.0
