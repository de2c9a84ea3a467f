"""The five conditions of Visual Dexterity's success: near the goal, and hand, object and action at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.contract import SceneState

JOINT_RATE_NORM = 0.25
OBJECT_SPEED = 0.04
OBJECT_SPIN = 0.5
ACTION_NORM = 1.0


@dataclass(frozen=True)
class Stillness:
    """Norms of joint rates (rad/s), object speed (m/s) and spin (rad/s), and of the action."""

    joint_rate: float
    speed: float
    spin: float
    action: float

    @property
    def still(self) -> bool:
        """Whether the four conditions beside the angle hold."""
        return (
            self.joint_rate <= JOINT_RATE_NORM
            and self.speed <= OBJECT_SPEED
            and self.spin <= OBJECT_SPIN
            and self.action <= ACTION_NORM
        )


def stillness(state: SceneState, action: Array) -> Stillness:
    """How still the scene is under the smoothed ``action`` (dof,)."""
    return Stillness(
        joint_rate=float(np.linalg.norm(state.dq)),
        speed=float(np.linalg.norm(state.velocity)),
        spin=float(np.linalg.norm(state.spin)),
        action=float(np.linalg.norm(action)),
    )


def goal_angle(state: SceneState, goal_quaternion: Array) -> float:
    """The angle in rad that is left to the goal."""
    return float(rotations.angle_between(state.quaternion, goal_quaternion))
