"""What a future costs: the angle that is left, fingers away from the object, the object leaving, motion at the goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.planner_model import Futures
from knuckle.sim.reorient.success import ACTION_NORM


@dataclass(frozen=True)
class Lift:
    """In the air: the ``height`` of the object's centre to reach, m, and the share of the ``turning`` cost, 0 to 1."""

    height: float
    turning: float


def plan_costs(futures: Futures, goal: Array, config: MpcConfig, lift: Lift | None = None) -> Array:
    """Cost (N,) of each candidate: the sum over its steps, the last one counted ``terminal_weight`` times."""
    per_step = step_costs(futures, goal, config, lift)
    per_step[:, -1] *= config.terminal_weight
    total = per_step.sum(axis=1)
    return np.where(np.isfinite(total), total, np.inf)


def step_costs(futures: Futures, goal: Array, config: MpcConfig, lift: Lift | None = None) -> Array:
    """Cost (N, T) of each step of each candidate. ``lift`` says what the air asks for; None on a table."""
    angle = rotations.angle_between(futures.quaternion, goal)
    reach = np.linalg.norm(futures.tips - futures.position[:, :, None, :], axis=-1)
    offset = np.linalg.norm(futures.position[..., :2], axis=-1)
    motion = (
        np.linalg.norm(futures.spin, axis=-1)
        + 5.0 * np.linalg.norm(futures.velocity, axis=-1)
        + 0.3 * np.abs(futures.dq).mean(axis=-1)
        + config.grip_weight * np.maximum(np.linalg.norm(futures.action, axis=-1) - 0.9 * ACTION_NORM, 0.0)
    )
    near = np.clip(1.0 - angle / config.still_angle, 0.0, 1.0)
    turning = 1.0 if lift is None else lift.turning
    return np.asarray(
        turning * config.angle_weight * angle
        + config.tip_weight * np.maximum(reach - config.tip_reach, 0.0).mean(axis=-1)
        + config.offset_weight * offset
        + config.escape_weight * np.maximum(offset - config.escape_radius, 0.0)
        + config.still_weight * near * motion
        + config.action_weight * np.abs(futures.action).mean(axis=-1)
        + (0.0 if lift is None else _lift_costs(futures, lift, config))
    )


def _lift_costs(futures: Futures, lift: Lift, config: MpcConfig) -> Array:
    """What it costs to be low, and to leave the object's weight to the table."""
    low = np.clip(lift.height - futures.position[..., 2], 0.0, config.height_span)
    return np.asarray(config.height_weight * low + config.table_force_weight * futures.table_force)
