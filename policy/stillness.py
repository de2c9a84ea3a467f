"""The five conditions of success for one scene state; thresholds and test are those of `sim.reorient.success`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.contract import SceneState
from knuckle.sim.reorient.success import at_rest


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
        return bool(at_rest(self.joint_rate, self.speed, self.spin, self.action))


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
