"""The reward as a function of a transition and its goal: it can be said again for a goal that was never asked for.

The batch world's own reward counts torques and the table, which an observation does not hold; this one needs nothing
else than the observations before and after. A success is the batch world's, as its reward has it with
``success_needs`` object.

| term         | formula                                                            |
|--------------|--------------------------------------------------------------------|
| progress     | what the angle has shrunk by in this step                          |
| success      | once, when the object is at rest at the goal: then nothing follows |
| fall         | once, when the object has left: then nothing follows               |
| step         | each step                                                          |
| tip_distance | mean distance of the tips from the object beyond a free one        |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import setting
from knuckle.sim.reorient.observation import RATE_SCALE, TIP_NUMBERS, ReorientObservation
from knuckle.sim.reorient.reward import RewardConfig
from knuckle.sim.reorient.success import SUCCESS_ANGLE, at_rest

Rows = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class HindsightReward:
    """The coefficients of the terms, and what is free."""

    progress: float = setting(1.0, "of the shrinking of the angle in a step", low=0.0, high=1e6, unit="1/rad")
    success: float = setting(4.0, "bonus of a success", low=0.0, high=1e6)
    fall: float = setting(-2.0, "once, when the object has left", low=-1e6, high=0.0)
    step: float = setting(-0.03, "of each step", low=-1e6, high=0.0)
    tip_distance: float = setting(-0.3, "of the tips' mean distance from the object", low=-1e6, high=0.0, unit="1/m")
    tip_free: float = setting(0.03, "distance of a tip that costs nothing", low=0.0, high=1.0, unit="m")
    rest_slack: float = setting(3.0, "times the speeds at which an object is at rest", low=1.0, high=100.0)

    def of_world(self) -> RewardConfig:
        """What the batch world has to be told for its successes to be these."""
        return RewardConfig(success_needs="object", rest_slack=self.rest_slack)


def angle_left(build: ReorientObservation, rows: Rows) -> NDArray[Any]:
    """The angle (n,) between object and goal in observations (n, width), rad."""
    lies, goal = rows[:, build.slices["object_quaternion"]], rows[:, build.slices["goal_quaternion"]]
    return angle_between(lies, goal)


def angle_between(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """The angle (n,) between orientations (n, 4), rad, of single precision: good to a thousandth."""
    return np.asarray(2.0 * np.arccos(np.clip(np.abs((one * other).sum(axis=1)), 0.0, 1.0)))


def transition_reward(
    build: ReorientObservation, config: HindsightReward, before: Rows, after: Rows, fallen: Mask
) -> tuple[Rows, Mask]:
    """Rewards (n,) of steps from ``before`` to ``after`` (n, width), which carry one goal, and where they end all.

    ``fallen`` (n,) says where the object has left.
    """
    parts, left = build.slices, angle_left(build, after)
    speed = np.linalg.norm(after[:, parts["object_velocity"]], axis=1) / config.rest_slack
    spin = np.linalg.norm(after[:, parts["object_spin"]], axis=1) / RATE_SCALE / config.rest_slack
    success = (left <= SUCCESS_ANGLE) & at_rest(0.0, speed, spin, 0.0) & ~fallen
    tips = after[:, parts["tip_state"]].reshape(len(after), -1, TIP_NUMBERS)[:, :, :3]
    away = np.linalg.norm(tips - after[:, None, parts["object_position"]], axis=2)
    reward = (
        config.progress * (angle_left(build, before) - left)
        + config.success * success
        + config.fall * fallen
        + config.step
        + config.tip_distance * np.maximum(away - config.tip_free, 0.0).mean(axis=1)
    )
    return reward.astype(np.float32), success | fallen
