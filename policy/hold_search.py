"""How to hold still: near the goal, the grip that keeps the object where it is with the least action.

A grip that turns an object is firmer than one that counts as still (the norm of the action is one of the five
conditions), and one that is merely slackened may let go. So grips are tried in simulation first: the present one,
slackened by several shares, with a little noise; the best of them is held.
"""

from __future__ import annotations

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.planner_model import Futures
from knuckle.sim.reorient.success import ACTION_NORM

SHARES = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
NOISE_RAD = (0.004, 0.05)
# What is aimed at: a little inside the condition of stillness, and no slacker than that asks for.
GRIP_NORM = 0.9 * ACTION_NORM
SLACK_COST = 0.5
# Costs of an angle's mean and end (1/rad), of sinking (1/m), of speed (s/m) and spin (s), of a grip beyond GRIP_NORM.
ANGLE_COST, END_ANGLE_COST, SINK_COST, SPEED_COST, SPIN_COST, GRIP_COST = 4.0, 12.0, 200.0, 5.0, 1.0, 2.0


def grips(hand: HandSpec, q: Array, target: Array, n: int, rng: np.random.Generator) -> Array:
    """``n`` postures (n, dof) in rad around the grip that aims at ``target`` from ``q`` (dof,); the first is itself."""
    share = np.concatenate([SHARES, rng.choice(SHARES, n - len(SHARES))])
    noise = rng.standard_normal((n, hand.dof)) * np.geomspace(*NOISE_RAD, n)[:, None]
    noise[: len(SHARES)] = 0.0
    return np.clip(q + share[:, None] * (target - q) + noise, hand.lower, hand.upper)


def hold_costs(futures: Futures, goal: Array, height: float) -> Array:
    """Cost (N,) of each grip: turning away from ``goal``, sinking below ``height`` (m), moving, squeezing too much or
    less than is allowed."""
    angle = rotations.angle_between(futures.quaternion, goal)
    sunk = np.maximum(height - futures.position[..., 2], 0.0)
    excess = np.linalg.norm(futures.action, axis=-1) - GRIP_NORM
    grip = np.maximum(excess, 0.0) + SLACK_COST * np.maximum(-excess, 0.0)
    cost = (
        ANGLE_COST * angle.mean(axis=1)
        + END_ANGLE_COST * angle[:, -1]
        + SINK_COST * sunk[:, -1]
        + SPEED_COST * np.linalg.norm(futures.velocity[:, -1], axis=-1)
        + SPIN_COST * np.linalg.norm(futures.spin[:, -1], axis=-1)
        + GRIP_COST * grip.mean(axis=1)
    )
    return np.where(np.isfinite(cost), cost, np.inf)
