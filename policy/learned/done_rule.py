"""When a learned policy says that it is done: near the goal and still, by the conditions of success, for some steps."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.stillness import goal_angle, stillness


@dataclass(frozen=True)
class DoneConfig:
    """The bounds of done; they stand in the policy's card."""

    angle: float = setting(0.38, "angle to the goal that is near enough", low=0.01, high=3.14, unit="rad")
    hold: float = setting(
        0.38, "angle to the goal within which the policy keeps its posture, 0: never", low=0.0, high=3.14, unit="rad"
    )
    steps: int = setting(1, "control steps in a row for which it must hold", low=1, high=120)


class DoneRule:
    """Watches one goal. The action counts too: a policy that still presses is not done."""

    def __init__(self, config: DoneConfig) -> None:
        self.config = config
        self._held = 0

    def reset(self) -> None:
        """Begin a new goal."""
        self._held = 0

    def step(self, state: SceneState, goal: Goal, smoothed: Array) -> float:
        """The probability, 0 or 1, that it is time to stop, at ``state`` under the ``smoothed`` action (dof,)."""
        near = goal_angle(state, goal.quaternion) <= min(self.config.angle, goal.tolerance_rad)
        self._held = self._held + 1 if near and stillness(state, smoothed).still else 0
        return float(self._held >= self.config.steps)
