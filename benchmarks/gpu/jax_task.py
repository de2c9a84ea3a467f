"""Reorientation in JAX: what `knuckle.sim.reorient` computes in numpy, for arrays of one world, to be mapped over many.

Held against the numpy by `check_equal.py`: observation, reward term by term, success, goals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jp
import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.sim.reorient.observation import RATE_SCALE
from knuckle.sim.reorient.reward import HIGH_TIP, RewardConfig
from knuckle.sim.reorient.rungs import RUNGS
from knuckle.sim.reorient.success import ACTION_NORM, JOINT_RATE_NORM, OBJECT_SPEED, OBJECT_SPIN, SUCCESS_ANGLE
from knuckle.sim.world import DROP_BELOW_TIPS, DROP_DISTANCE

RUNG_NAMES = tuple(RUNGS)
REDRAWS = 3


def multiply(a: Any, b: Any) -> Any:
    """Hamilton product (..., 4), w x y z."""
    aw, ax, ay, az = (a[..., k] for k in range(4))
    bw, bx, by, bz = (b[..., k] for k in range(4))
    parts = [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
    return jp.stack(parts, axis=-1)


def conjugate(q: Any) -> Any:
    """The inverse of a unit quaternion."""
    return q * jp.array([1.0, -1.0, -1.0, -1.0])


def rotate(q: Any, v: Any) -> Any:
    """``v`` (..., 3) turned by ``q`` (..., 4)."""
    w, axis = q[..., :1], q[..., 1:]
    t = 2.0 * jp.cross(axis, v)
    return v + w * t + jp.cross(axis, t)


def upright(q: Any) -> Any:
    """The quaternion with w >= 0."""
    return q * jp.where(q[..., :1] < 0.0, -1.0, 1.0)


def angle_left(q: Any, goal: Any) -> Any:
    """The angle in rad from ``q`` to ``goal`` (..., 4)."""
    d = multiply(q, conjugate(goal))
    return 2.0 * jp.arctan2(jp.linalg.norm(d[..., 1:], axis=-1), jp.abs(d[..., 0]))


def norm(v: Any) -> Any:
    """Euclidean norm over the last axis."""
    return jp.sqrt(jp.sum(v * v, axis=-1))


class TipWalk:
    """`TipKinematics` of ``hand`` in the world frame: tip states (..., G, 13) of joint angles and rates (..., dof)."""

    def __init__(self, hand: HandSpec) -> None:
        links = {link.name: link for link in hand.links}
        column = {name: k for k, name in enumerate(hand.joint_names)}
        chains = []
        for tip in hand.tips:
            chain, link = [], links[tip.link]
            while link.parent is not None:
                chain.insert(0, link)
                link = links[link.parent]
            chains.append(chain)
        self.joints = np.array([[column[link.joint or ""] for link in chain] for chain in chains])
        still = np.array([[link.quaternion for link in chain] for chain in chains])
        offsets = np.array([[link.position for link in chain] for chain in chains])
        mount = np.array(hand.mount_quaternion)
        root = np.array(hand.mount_position) + rotations.rotate(mount, np.array(hand.links[0].position))
        base = rotations.multiply(mount, np.array(hand.links[0].quaternion))
        offsets[:, 0] = root + rotations.rotate(base, offsets[:, 0])
        still[:, 0] = rotations.multiply(base, still[:, 0])
        axes = np.array([hand.joints[k].axis for k in self.joints.ravel()]).reshape(*self.joints.shape, 3)
        turning = rotations.multiply(still, np.concatenate([np.zeros((*self.joints.shape, 1)), axes], axis=-1))
        self.axes, self.still, self.turning = (jp.asarray(a, jp.float32) for a in (axes, still, turning))
        tips = np.array([tip.position for tip in hand.tips])[:, None]
        self.offsets = jp.asarray(np.concatenate([offsets, tips], axis=1), jp.float32)

    def __call__(self, q: Any, dq: Any) -> Any:
        """The states: position, quaternion, velocity, spin."""
        angles, rates = q[..., self.joints], dq[..., self.joints]
        half = 0.5 * angles[..., None]
        local = jp.cos(half) * self.still + jp.sin(half) * self.turning
        pivot, turn, pivots, axes = jp.broadcast_to(self.offsets[:, 0], (*angles.shape[:-1], 3)), None, [], []
        for k in range(self.joints.shape[1]):
            turn = local[..., k, :] if turn is None else multiply(turn, local[..., k, :])
            pivots.append(pivot)
            axes.append(rotate(turn, jp.broadcast_to(self.axes[:, k], pivot.shape)))
            pivot = pivot + rotate(turn, jp.broadcast_to(self.offsets[:, k + 1], pivot.shape))
        axis = jp.stack(axes, axis=-2)
        arm = pivot[..., None, :] - jp.stack(pivots, axis=-2)
        linear = (jp.cross(axis, arm) * rates[..., None]).sum(axis=-2)
        return jp.concatenate([pivot, turn, linear, (axis * rates[..., None]).sum(axis=-2)], axis=-1)


@dataclass(frozen=True)
class Task:
    """The constants of ``hand`` and ``reward``, and the functions of one world's state that need them."""

    hand: HandSpec
    reward: RewardConfig
    walk: TipWalk

    @property
    def chart(self) -> ActionMap:
        """The action map; its smoothing and step."""
        return ActionMap(self.hand)

    def smooth(self, action: Any, previous: Any) -> Any:
        """`ActionMap.smooth`."""
        alpha = self.chart.smoothing
        return alpha * jp.clip(action, -1.0, 1.0) + (1.0 - alpha) * previous

    def target(self, q: Any, smoothed: Any) -> Any:
        """`ActionMap.target`."""
        low, high = jp.asarray(self.hand.lower, jp.float32), jp.asarray(self.hand.upper, jp.float32)
        return jp.clip(q + smoothed * self.chart.step_rad, low, high)

    def observe(self, q: Any, dq: Any, pose: Any, twist: Any, goal: Any, smoothed: Any) -> Any:
        """`ReorientObservation` of joints, the object's ``pose`` (..., 7) and ``twist`` (..., 6; spin in its frame)."""
        low, high = jp.asarray(self.hand.lower, jp.float32), jp.asarray(self.hand.upper, jp.float32)
        turn = pose[..., 3:]
        tips = self.walk(q, dq)
        parts = [
            (q - (low + high) / 2.0) * (2.0 / (high - low)),
            RATE_SCALE * dq,
            pose[..., :3],
            upright(turn),
            twist[..., :3],
            RATE_SCALE * rotate(turn, twist[..., 3:]),
            upright(goal),
            upright(multiply(upright(turn), conjugate(goal))),
            tips.reshape(*tips.shape[:-2], -1),
            smoothed,
        ]
        return jp.concatenate(parts, axis=-1)

    def torque(self, target: Any, q: Any, dq: Any) -> Any:
        """`servo_torque` with the hand's own gains."""
        kp = jp.asarray([joint.stiffness for joint in self.hand.joints])
        kd = jp.asarray([joint.damping for joint in self.hand.joints])
        most = jp.asarray(self.hand.effort_limit, jp.float32)
        return jp.clip(kp * (target - q) - kd * dq, -most, most)

    def terms(self, o: dict[str, Any]) -> dict[str, Any]:
        """`reward_terms` of an outcome given by its fields' names."""
        c = self.reward
        apart = o["tips"] - o["position"][..., None, :]
        if c.tip_distance_form == "mean":
            distance = jp.maximum(norm(apart) - c.tip_free, 0.0).mean(axis=-1)
        else:
            distance = (apart * apart).sum(axis=(-2, -1))
        power = jp.abs(o["dq"] * o["torque"]).sum(axis=-1)
        terms = {
            "success": c.success * o["success"],
            "rotation": c.rotation / (o["angle"] + c.rotation_eps),
            "tip_distance": c.tip_distance * distance,
            "energy": c.energy * jp.minimum(power, c.energy_clip),
            "fall": c.fall * o["fallen"],
            "table_contact": c.table_contact * o["on_table"],
            "penultimate": c.penultimate * (o["tips"][..., 2] > HIGH_TIP).sum(axis=-1),
            "progress": c.progress * (o["before"] - o["angle"]),
            "action": c.action * (o["action"] * o["action"]).sum(axis=-1),
            "offset": c.offset * jp.maximum(o["offset"] - c.offset_free, 0.0),
        }
        return {name: c.scale * term for name, term in terms.items()}

    def judged(self, angle: Any, dq: Any, twist: Any, smoothed: Any) -> tuple[Any, Any]:
        """Success as the reward has it, and by the five conditions."""
        speed, spin = norm(twist[..., :3]), norm(twist[..., 3:])
        near, slack = angle <= SUCCESS_ANGLE, self.reward.rest_slack
        quiet = (norm(dq) <= JOINT_RATE_NORM) & (norm(smoothed) <= ACTION_NORM)
        five = near & quiet & (speed <= OBJECT_SPEED) & (spin <= OBJECT_SPIN)
        loose = near & (speed / slack <= OBJECT_SPEED) & (spin / slack <= OBJECT_SPIN)
        return (five if self.reward.success_needs == "five" else loose), five


def fallen(position: Any, start: Any, tips: Any, aloft: Any) -> Any:
    """Whether the object has left: too far from where it began, or ``aloft``, below the lowest of ``tips`` (G, 3)."""
    below = position[..., 2] < tips[..., 2].min(axis=-1) - DROP_BELOW_TIPS
    return (norm(position - start) > DROP_DISTANCE) | (aloft & below)


def draw_goal(key: Any, rung: Any, lies: Any) -> Any:
    """`draw_goal` for one object that lies as ``lies`` (4,), on the rung of place ``rung`` in `RUNG_NAMES`."""
    of = list(RUNGS.values())
    low, high = jp.asarray([r.low for r in of])[rung], jp.asarray([r.high for r in of])[rung]
    upward = jp.asarray([r.axis == "vertical" for r in of])[rung]
    anywhere = jp.asarray([r.axis == "so3" for r in of])[rung]
    sign, about, size, free = jax.random.split(key, 4)
    z = jp.array([0.0, 0.0, 1.0]) * jp.where(jax.random.bernoulli(sign), 1.0, -1.0)
    drawn = jax.random.normal(about, (3,))
    axis = jp.where(upward, z, drawn / norm(drawn))
    half = 0.5 * jax.random.uniform(size, minval=low, maxval=high)
    turned = multiply(jp.concatenate([jp.cos(half)[None], jp.sin(half) * axis]), lies)
    # Of a few uniform rotations the first that is no success already: 0.3% of all are.
    tries = jax.random.normal(free, (REDRAWS, 4))
    tries = tries / norm(tries)[:, None]
    first = jp.argmax(angle_left(jp.broadcast_to(lies, tries.shape), tries) > SUCCESS_ANGLE)
    goal = jp.where(anywhere, tries[first], turned)
    return goal / norm(goal)
