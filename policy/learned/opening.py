"""How the fingers let go of an object: each opens by a way on which it goes through the object as little as can be.

A hand that opens straight home sweeps the object away: what one finger was behind comes with it, and lies out of reach
(docs/experiments/2026-11-29-regrasp.md). So each finger goes by a posture between, one of some all over its joints'
ranges, and takes the way that presses least on the object, were that to stand still. No simulation, no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.policy.learned.link_touch import finger_boxes

BETWEEN = ((-0.45, 0.2, 0.8, 1.35), (-1.4, -0.6, 0.2, 0.8, 1.4), (-1.5, -0.4, 0.7))
"""Angles of each joint of a finger, from the base on, at which there are postures between, rad."""
OPEN = ((0.0, -0.4, 0.4, 0.8), (0.0, 0.35, 0.7), (0.0, 0.4))
"""How far off home each joint may end where the object lies at home, rad."""
LOOKED_AT = 6
"""Places on a way that are looked at."""
PRESSED, NEAR, TABLE, STEP_M = 1.0, 0.3, 0.2, 5e-5
"""What counts of a way: how deep it presses, in the mean, m; how far it is within `CLEAR_M`; how deep in the table; and
each control step."""
CLEAR_M = 0.006
OFF_HOME_M = 0.004
"""What each radian off home counts of where a way ends, m."""
AXIS_M = (0.0, 0.02, 0.04)
"""Where the round end of a finger has beads, m from its tip's centre."""


@dataclass(frozen=True)
class Beads:
    """Spheres that stand for a finger: on which ``link`` (n,) each is, from the base on, where in that link's frame
    ``local`` (n, 3), and how thick, ``radius`` (n,), m."""

    link: NDArray[np.intp]
    local: Array
    radius: Array


def finger_beads(hand: HandSpec) -> Beads:
    """Beads of any finger of ``hand``: three along each box of the links that move with a joint before them, and along
    the round end. InputError for a hand with a link of a finger that has no box, or with other fingers than a D'Claw's.
    """
    tip, rows = hand.tips[0], list[tuple[int, Array, float]]()
    boxes = finger_boxes(hand)
    if len(boxes) != len(BETWEEN):
        what = f"fingers of {len(boxes)} joints"
        raise InputError(what, where=f"hand {hand.name}", right=f"{len(BETWEEN)}, to be opened as a D'Claw")
    for k, link in list(enumerate(boxes))[1:]:
        for box in link:
            half = np.array(box.size)
            longest = int(half.argmax())
            radius = float(np.delete(half, longest).mean())
            along = np.zeros((3, 3))
            along[:, longest] = np.linspace(-1.0, 1.0, 3) * max(half[longest] - radius, 0.0)
            places = rotations.rotate(np.array(box.quaternion), along) + np.array(box.position)
            rows += [(k, place, radius) for place in places]
    last, end = len(boxes) - 1, np.array(tip.position)
    rows += [(last, end - np.array([0.0, 0.0, at]), tip.radius) for at in AXIS_M]
    links, places, radii = zip(*rows, strict=True)
    return Beads(np.array(links), np.array(places), np.array(radii))


class Opening:
    """Opens ``hand`` about an object of ``shape``. InputError as `finger_beads` says."""

    def __init__(self, hand: HandSpec, shape: ObjectShape) -> None:
        self.hand, self.shape = hand, shape
        self._tips, self._beads = TipKinematics(hand, "world"), finger_beads(hand)
        self._step = hand.policy_speed / hand.control_rate_hz
        home = np.asarray(hand.home)[self._tips.joints[0]]
        low, high = (bound[self._tips.joints[0]] for bound in (hand.lower, hand.upper))
        # By home itself goes the straight way, where a finger ends at home.
        self._between = np.clip(np.array([home, *product(*BETWEEN)]), low, high)
        self._open = np.clip(home + np.array(list(product(*OPEN))), low, high)
        self._off_home = np.abs(self._open - home).sum(axis=1)

    def __call__(self, q: Array, position: Array, quaternion: Array) -> Array:
        """Postures (n, dof), rad, one a control step, from ``q`` (dof,) to an open hand about an object at ``position``
        (3,), m, turned by ``quaternion`` (w x y z), world frame."""
        joints, end = self._tips.joints, self.open_posture(position, quaternion)
        legs = np.stack([self._legs(q[j], end[j]) for j in joints])
        shares = np.arange(1, LOOKED_AT + 1) / LOOKED_AT
        ways = np.empty((len(self._between), LOOKED_AT, self.hand.dof))
        for finger, j in enumerate(joints):
            gone = shares * legs[finger].sum(axis=1, keepdims=True)
            ways[..., j] = _along(q[j], self._between, end[j], legs[finger], gone)
        best = (self.costs(ways, position, quaternion) + STEP_M * legs.sum(axis=2).T).argmin(axis=0)
        fingers = np.arange(len(joints))
        steps = np.arange(1.0, max(np.ceil(legs[fingers, best].sum(axis=1).max()), 1.0) + 1.0)
        postures = np.empty((len(steps), self.hand.dof))
        for finger, j in enumerate(joints):
            taken = best[finger : finger + 1]
            postures[:, j] = _along(q[j], self._between[taken], end[j], legs[finger, taken], steps[None])[0]
        return postures

    def open_posture(self, position: Array, quaternion: Array) -> Array:
        """The posture (dof,), rad, of an open hand: home, but for fingers at whose home the object lies."""
        postures = np.empty((len(self._open), self.hand.dof))
        for j in self._tips.joints:
            postures[:, j] = self._open
        costs = self.costs(postures[:, None], position, quaternion) + OFF_HOME_M * self._off_home[:, None]
        end = np.empty(self.hand.dof)
        for j, best in zip(self._tips.joints, costs.argmin(axis=0), strict=True):
            end[j] = self._open[best]
        return end

    def _legs(self, start: Array, end: Array) -> Array:
        """Control steps (n, 2) from ``start`` to each posture between, and from there to ``end``, at full speed."""
        return np.asarray(np.abs(self._between[:, None] - np.stack([start, end])).max(axis=-1) / self._step)

    def costs(self, ways: Array, position: Array, quaternion: Array) -> Array:
        """How much the object and the table are in the way, m, on each of ``ways`` (n, steps, dof), finger by finger
        (n, G)."""
        beads, shape = self._beads, (*ways.shape[:2], len(self._tips.joints))
        place, turn = self._tips.links(ways.reshape(-1, self.hand.dof))
        at = place[:, :, beads.link] + (turn[:, :, beads.link] @ beads.local[..., None])[..., 0]
        seen = (at - position) @ rotations.to_matrix(quaternion)
        gap = (self.shape.distance(seen) - beads.radius).min(axis=-1).reshape(shape)
        height = (at[..., 2] - beads.radius).min(axis=-1).reshape(shape)
        costs = (
            PRESSED * np.maximum(-gap, 0.0) + NEAR * np.maximum(CLEAR_M - gap, 0.0) + TABLE * np.maximum(-height, 0.0)
        )
        return np.asarray(costs.mean(axis=1))


def _along(start: Array, between: Array, end: Array, legs: Array, gone: Array) -> Array:
    """Where (n, steps, joints) a finger is after ``gone`` (n, steps) steps of its way from ``start`` by ``between``
    (n, joints) to ``end``, whose two ``legs`` (n, 2) take as many steps."""
    first = np.clip(gone / np.maximum(legs[:, :1], 1e-9), 0.0, 1.0)[..., None]
    second = np.clip((gone - legs[:, :1]) / np.maximum(legs[:, 1:], 1e-9), 0.0, 1.0)[..., None]
    return np.asarray(start + (between - start)[:, None] * first + (end - between)[:, None] * second)
