"""What a future costs: the angle that is left, fingers away from the object, the object leaving, motion at the goal."""

from __future__ import annotations

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.planner_model import Futures


def plan_costs(futures: Futures, goal: Array, config: MpcConfig) -> Array:
    """Cost (N,) of each candidate: the sum over its steps, the last one counted ``terminal_weight`` times."""
    per_step = step_costs(futures, goal, config)
    per_step[:, -1] *= config.terminal_weight
    total = per_step.sum(axis=1)
    return np.where(np.isfinite(total), total, np.inf)


def step_costs(futures: Futures, goal: Array, config: MpcConfig) -> Array:
    """Cost (N, T) of each step of each candidate."""
    angle = rotations.angle_between(futures.quaternion, goal)
    reach = np.linalg.norm(futures.tips - futures.position[:, :, None, :], axis=-1)
    offset = np.linalg.norm(futures.position[..., :2], axis=-1)
    motion = (
        np.linalg.norm(futures.spin, axis=-1)
        + 5.0 * np.linalg.norm(futures.velocity, axis=-1)
        + 0.3 * np.abs(futures.dq).mean(axis=-1)
    )
    near = np.clip(1.0 - angle / config.still_angle, 0.0, 1.0)
    return np.asarray(
        config.angle_weight * angle
        + config.tip_weight * np.maximum(reach - config.tip_reach, 0.0).mean(axis=-1)
        + config.offset_weight * offset
        + config.escape_weight * np.maximum(offset - config.escape_radius, 0.0)
        + config.still_weight * near * motion
        + config.action_weight * np.abs(futures.action).mean(axis=-1)
    )
