"""The symmetry of a hand whose fingers stand evenly about the vertical: turned by one place, it is the same hand.

Turn the hand's fingers, the object and the goal together by 360/G degrees about the world's z, and physics and task are
the same; only who is called finger 1 differs. A learner that knows this learns from one finger for all of them. The
turn acts on `ReorientObservation`: vectors are turned, orientations multiplied from the left, what belongs to a finger
moves to its neighbour's place.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.sim.reorient.observation import TIP_NUMBERS, ReorientObservation

_CLOSE = 1e-6
_VECTORS = ("object_position", "object_velocity", "object_spin")
_OF_JOINTS = ("joint_angle", "joint_rate", "previous_action")
UPRIGHTED = ("object_quaternion", "goal_quaternion")
"""Parts that a turn may leave with w < 0, so that they have to be made upright again."""


class HandSymmetry:
    """The turns of ``hand`` by whole places, ``order`` of them (G).

    ``maps`` (order, width, width): what turn k makes of an observation, but for `UPRIGHTED`. ``to`` (order, G): the
    place to which turn k brings the finger of each place. InputError for a hand that is not the same after a turn.
    """

    def __init__(self, hand: HandSpec) -> None:
        self.hand, self.build = hand, ReorientObservation(hand)
        self.order = len(hand.tips)
        self.joints = hand.dof // self.order
        self._require_alike()
        self.to = np.array([self._places(k) for k in range(self.order)], dtype=np.intp)
        self.maps = np.stack([self._map(k) for k in range(self.order)])

    def copies(self, observations: Array) -> Array:
        """Every turn of ``observations`` (n, width): (n, order, width), the first one as they are."""
        flat = observations.reshape(-1, self.build.width) @ self.maps.reshape(-1, self.build.width).T
        turned = flat.reshape(-1, self.order, self.build.width)
        for part in UPRIGHTED:
            where = self.build.slices[part]
            turned[..., where] *= np.where(turned[..., where.start : where.start + 1] < 0.0, -1.0, 1.0)
        return np.asarray(turned)

    def turned_actions(self, actions: Array) -> Array:
        """What ``actions`` (n, dof) become under every turn: (n, order, dof)."""
        return np.asarray(actions[:, self.sources()])

    def sources(self) -> NDArray[np.intp]:
        """The joint (order, dof) whose value stands in each place after turn k."""
        fingers = np.argsort(self.to, axis=1)
        joints = fingers[:, :, None] * self.joints + np.arange(self.joints)
        return np.asarray(joints.reshape(self.order, -1), dtype=np.intp)

    def finger_of(self) -> NDArray[np.intp]:
        """The finger (order,) that turn k brings to the first one's place."""
        return np.asarray(np.argsort(self.to, axis=1)[:, 0], dtype=np.intp)

    def _require_alike(self) -> None:
        hand, right = self.hand, "a hand of like fingers in their order, as many joints to each"
        if hand.dof != self.joints * self.order:
            raise InputError(f"{hand.dof} joints on {self.order} fingers", where=hand.name, right=right)
        for values in (hand.lower, hand.upper, hand.home):
            rows = np.asarray(values).reshape(self.order, self.joints)
            if not np.allclose(rows, rows[0]):
                raise InputError("its fingers' joints differ", where=hand.name, right=right)

    def _places(self, k: int) -> list[int]:
        """Where each finger stands after turn ``k``, found by where its tip is."""
        tips = self._tips(np.asarray(self.hand.home)[None])[0, :, :3]
        angle = 2.0 * math.pi * k / self.order
        turned = tips @ _about_z(angle).T
        apart = np.linalg.norm(turned[:, None] - tips[None], axis=-1)
        places = apart.argmin(axis=1)
        if not (apart.min(axis=1) < _CLOSE).all() or len(set(places)) != self.order:
            right = "fingers evenly about the vertical through the world's origin"
            raise InputError(f"not the same hand after a turn of 1/{self.order}", where=self.hand.name, right=right)
        return [int(place) for place in places]

    def _tips(self, q: Array) -> Array:
        """Fingertip states (n, G, 13) at rest at ``q`` (n, dof)."""
        rows = self.build.tips.rows(np.ascontiguousarray(q.T), np.zeros(q.T.shape))
        return np.asarray(rows.reshape(self.order, TIP_NUMBERS, -1).transpose(2, 0, 1))

    def _map(self, k: int) -> Array:
        out = np.zeros((self.build.width, self.build.width))
        angle, part = 2.0 * math.pi * k / self.order, self.build.slices
        spin, from_left = _about_z(angle), _from_left(angle)
        for name in _VECTORS:
            out[part[name], part[name]] = spin
        for name in UPRIGHTED:
            out[part[name], part[name]] = from_left
        difference = part["quaternion_difference"]
        out[difference.start, difference.start] = 1.0
        out[difference.start + 1 : difference.stop, difference.start + 1 : difference.stop] = spin
        for g in range(self.order):
            for name in _OF_JOINTS:
                to, of = (part[name].start + f * self.joints for f in (self.to[k, g], g))
                out[to : to + self.joints, of : of + self.joints] = np.eye(self.joints)
            to, of = (part["tip_state"].start + f * TIP_NUMBERS for f in (self.to[k, g], g))
            for at in (0, 7, 10):
                out[to + at : to + at + 3, of + at : of + at + 3] = spin
            out[to + 3 : to + 7, of + 3 : of + 7] = self._sign(k, g, from_left) * from_left
        return out

    def _sign(self, k: int, g: int, from_left: Array) -> float:
        """Of the two quaternions of one orientation the kinematics give one: whether the turn gives that or the other.

        It is the same one at every posture, since both follow from the joint angles without a jump.
        """
        tips = self._tips(np.asarray(self.hand.home)[None])[0, :, 3:7]
        return 1.0 if float(from_left @ tips[g] @ tips[self.to[k, g]]) > 0.0 else -1.0


def _about_z(angle: float) -> Array:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _from_left(angle: float) -> Array:
    """The matrix (4, 4) of multiplication from the left by the quaternion of a turn about z, w x y z."""
    w, z = math.cos(angle / 2.0), math.sin(angle / 2.0)
    return np.array([[w, 0.0, 0.0, -z], [0.0, w, -z, 0.0], [0.0, z, w, 0.0], [z, 0.0, 0.0, w]])
