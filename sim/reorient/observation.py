"""The one observation of reorientation: Visual Dexterity's 22G+21 numbers, G fingers of three joints.

Written once, as a function of arrays with any leading axes: the batch world, the nodes and a deployed policy call this.
Order and scales are those of the released code (which feeds the previous action beside the paper's 19G+21): joint
angles to [-1, 1] by their limits; joint rates and the object's spin times 0.2; everything in the world frame, hand at
its mount; the difference is object * conj(goal); the previous action is the smoothed one. Ours: quaternions w x y z,
and those of object, goal and difference with w >= 0, so that one orientation is one observation, whoever measured it.
Fingertip states are computed from joint angles and rates, never from sensors that lag the state by a step.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core.cards import Entry
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.tip_kinematics import TipKinematics

RATE_SCALE = 0.2
TIP_NUMBERS = 13
_PARTS = {
    "joint_angle": "of the joint's range, -1 to 1",
    "joint_rate": "5 rad/s",
    "object_position": "m",
    "object_quaternion": "1",
    "object_velocity": "m/s",
    "object_spin": "5 rad/s",
    "goal_quaternion": "1",
    "quaternion_difference": "1",
    "tip_state": "m, 1, m/s, rad/s",
    "previous_action": "of the largest step, -1 to 1",
}
_TIP_PARTS = (
    ("position", "xyz", "m"),
    ("quaternion", "wxyz", "1"),
    ("velocity", "xyz", "m/s"),
    ("spin", "xyz", "rad/s"),
)


class ReorientObservation:
    """Builds observations for ``hand``. ``slices`` says where each part lies; ``width`` is 22G+21.

    InputError for a hand whose fingers differ in their number of joints.
    """

    def __init__(self, hand: HandSpec) -> None:
        self.hand, self.tips = hand, TipKinematics(hand, "world")
        sizes = (hand.dof, hand.dof, 3, 4, 3, 3, 4, 4, TIP_NUMBERS * len(hand.tips), hand.dof)
        self.slices: dict[str, slice] = {}
        self.width = 0
        for name, size in zip(_PARTS, sizes, strict=True):
            self.slices[name] = slice(self.width, self.width + size)
            self.width += size
        self._middle = ((hand.upper + hand.lower) / 2.0)[:, None]
        self._scale = (2.0 / (hand.upper - hand.lower))[:, None]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The parts in order, as a model card lists them."""
        return tuple(Entry(name, (s.stop - s.start,), _PARTS[name]) for name, s in self.slices.items())

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of every column, in order."""
        return tuple(self._columns())

    def __call__(
        self,
        q: ArrayLike,
        dq: ArrayLike,
        position: ArrayLike,
        quaternion: ArrayLike,
        velocity: ArrayLike,
        spin: ArrayLike,
        goal: ArrayLike,
        previous_action: ArrayLike,
    ) -> Array:
        """Observations (..., 22G+21) of joint angles and rates (..., dof), the object's position (..., 3), quaternion
        (..., 4), velocity and spin (..., 3), the goal's quaternion (..., 4), all in the world frame, and the smoothed
        previous action (..., dof). InputError where a width does not fit.
        """
        dof = self.hand.dof
        given = (q, dq, position, quaternion, velocity, spin, goal, previous_action)
        widths = (dof, dof, 3, 4, 3, 3, 4, dof)
        arrays = [np.asarray(values, dtype=np.float64) for values in given]
        for values, width in zip(arrays, widths, strict=True):
            if values.shape[-1:] != (width,):
                raise InputError(f"an array {values.shape}", where="observation", right=f"(..., {width})")
        batch = np.broadcast_shapes(*(values.shape[:-1] for values in arrays))
        rows = [
            np.ascontiguousarray(np.broadcast_to(values, (*batch, width)).reshape(-1, width).T)
            for values, width in zip(arrays, widths, strict=True)
        ]
        return np.ascontiguousarray(self.rows(*rows).T).reshape(*batch, self.width)

    def rows(
        self,
        q: Array,
        dq: Array,
        position: Array,
        quaternion: Array,
        velocity: Array,
        spin: Array,
        goal: Array,
        previous_action: Array,
    ) -> Array:
        """The same with the batch last: inputs (width, N), result (22G+21, N). Every operation runs over the batch."""
        out = np.empty((self.width, q.shape[1]))
        part = self.slices
        np.subtract(q, self._middle, out=out[part["joint_angle"]])
        out[part["joint_angle"]] *= self._scale
        np.multiply(dq, RATE_SCALE, out=out[part["joint_rate"]])
        out[part["object_position"]] = position
        out[part["object_quaternion"]] = upright(quaternion)
        out[part["object_velocity"]] = velocity
        np.multiply(spin, RATE_SCALE, out=out[part["object_spin"]])
        self.write_goal(out, goal)
        out[part["tip_state"]] = self.tips.rows(q, dq).reshape(-1, q.shape[1])
        out[part["previous_action"]] = previous_action
        return out

    def write_goal(self, out: Array, goal: Array) -> None:
        """Put ``goal`` (4, N) and the difference to it into observations ``out`` (22G+21, N), in place."""
        out[self.slices["goal_quaternion"]] = upright(goal)
        out[self.slices["quaternion_difference"]] = difference(out[self.slices["object_quaternion"]], goal)

    def _columns(self) -> Iterator[tuple[str, str]]:
        names = {
            "joint_angle": self.hand.joint_names,
            "joint_rate": self.hand.joint_names,
            "previous_action": self.hand.joint_names,
        }
        for part, where in self.slices.items():
            if part == "tip_state":
                for tip in self.hand.tips:
                    yield from ((f"{tip.name}.{what}.{axis}", unit) for what, axes, unit in _TIP_PARTS for axis in axes)
                continue
            axes = "wxyz" if where.stop - where.start == 4 else "xyz"
            yield from ((f"{part}.{name}", _PARTS[part]) for name in names.get(part, tuple(axes)))


def upright(quaternion: Array) -> Array:
    """The quaternions (4, N) with w >= 0: of the two that say the same rotation always the same one."""
    return np.asarray(quaternion * np.where(quaternion[0] < 0.0, -1.0, 1.0))


def difference(quaternion: Array, goal: Array) -> Array:
    """object * conj(goal) with w >= 0, rows (4, N) each: the turn, along the world's axes, from goal to object."""
    aw, ax, ay, az = quaternion
    bw, bx, by, bz = goal
    out = np.empty(quaternion.shape)
    out[0] = aw * bw + ax * bx + ay * by + az * bz
    out[1] = ax * bw - aw * bx + az * by - ay * bz
    out[2] = ay * bw - aw * by + ax * bz - az * bx
    out[3] = az * bw - aw * bz + ay * bx - ax * by
    return upright(out)
