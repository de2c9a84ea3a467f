"""What a chunk of postures is, seen from each finger: where it is, and where on the object's surface it would push.

Everything about a finger is told along its own axes: out of the hand's middle, across, and up. Gravity, the table and
the hand are then always the same, and so is a scene that is turned with the hand by a whole place: one network serves
every finger (docs/experiments/2026-11-28-foresight.md has what that is worth). A finger has two contacts: the point
nearest to the surface of the axis of its round end, and that of its links' boxes (`link_touch.py`). What postures do is
told by where they would be if the object stood still: how deep they would press, along which normal, with which lever
about the object's middle, and how far they would drag along the surface. Beside that stands where the object is, how it
moves, and on what it rests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.policy.learned.link_touch import LinkTouch, corners, shares, slope, unit

Indices = NDArray[np.intp]

PER_FINGER, PER_STEP = 78, 40
"""Numbers of a finger in its scene, and of a finger at each looked-at step of a chunk."""
ALONG_M, FINELY_M = np.array([0.0, 0.013, 0.027, 0.04]), np.linspace(0.0, 0.04, 13)
"""Where the axis of a last link is looked at, m from its tip: of postures, and of the state."""
SUPPORT_M, CLOUD_POINTS = 0.004, 200
"""Height over the lowest point within which the surface is taken to bear the object; points of the surface."""
TOUCH_M, PRESSED_M, ACROSS_M = 0.004, 0.02, 0.05
"""Lengths that a number of 1 stands for: a gap, how deep or how far a finger goes, a place on the object."""
RATE_S, SPIN_S = 2.0, 0.2
"""What speeds, m/s, and spins, rad/s, are multiplied by."""
DIFFERENCE_S = 1e-3
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Scene:
    """States from which chunks begin: joint angles ``q`` and rates ``dq`` (d, dof), the ``smoothed`` action (d, dof),
    the object's ``position`` and ``velocity`` (d, 3), ``quaternion`` (d, 4) and ``spin`` (d, 3), world frame."""

    q: Array
    dq: Array
    position: Array
    quaternion: Array
    velocity: Array
    spin: Array
    smoothed: Array

    @cached_property
    def turned(self) -> Array:
        """The matrices (d, 3, 3) that turn the object's axes into the world's."""
        return rotations.to_matrix(self.quaternion)


@dataclass(frozen=True)
class _Touch:
    """Where fingers (d, G, ...) are nearest to the object: the ``point`` and how fast it moves, world frame, the point
    and the outward normal in the object's frame, and the ``gap``, m; and along the fingers' axes the same point ``at``
    from the object's middle and the normal ``along``."""

    point: Array
    speed: Array
    point_seen: Array
    normal_seen: Array
    gap: Array
    at: Array
    along: Array


@dataclass(frozen=True)
class _Fingers:
    """The ``tip`` (d, G, 3) of each finger, world frame, m; of its round end the touch ``end`` and which point of its
    axis that is, ``along`` (d, G, 1), m from the tip; of its links the touch ``side``, of which ``link`` and where in
    that link's frame it is."""

    tip: Array
    end: _Touch
    along: Array
    side: _Touch
    link: Indices
    local: Array


class FingerFrames:
    """The axes of the fingers of ``hand``: out of its middle, across and up. ``matrices`` (G, 3, 3) turn them into the
    world's; ``next`` and ``previous`` (G,) are each finger's neighbours, counter-clockwise from above and clockwise."""

    def __init__(self, hand: HandSpec) -> None:
        outward = TipKinematics(hand, "world").poses(np.asarray(hand.home))[0]
        around = np.arctan2(outward[:, 1], outward[:, 0])
        self.to_world = rotations.from_axis_angle(np.broadcast_to(UP, outward.shape), around)
        self.to_finger = rotations.conjugate(self.to_world)
        self.matrices = rotations.to_matrix(self.to_world)
        order = np.argsort(np.mod(around, 2.0 * np.pi))
        self.next, self.previous = np.empty_like(order), np.empty_like(order)
        self.next[order], self.previous[order] = np.roll(order, -1), np.roll(order, 1)


class ContactFeatures:
    """The numbers that tell of chunks of ``hand`` on ``shape``; ``looked_at`` are the steps that are told of."""

    def __init__(self, hand: HandSpec, shape: ObjectShape, looked_at: tuple[int, ...]) -> None:
        self.hand, self.shape, self.looked_at = hand, shape, list(looked_at)
        self.fingers, self.frames = len(hand.tips), FingerFrames(hand)
        self._tips = TipKinematics(hand, "world")
        self._radius = hand.tips[0].radius
        self._middle, self._half = (hand.upper + hand.lower) / 2.0, (hand.upper - hand.lower) / 2.0
        self._largest_step = hand.policy_speed / hand.control_rate_hz
        # Objects rest on corners and are touched by them, which no cloud has.
        self._cloud = np.concatenate([shape.cloud(CLOUD_POINTS), *(corners(p) for p in shape.primitives)])
        self._side = LinkTouch(hand, shape, self._cloud)
        self._tip_places = np.array([tip.position for tip in hand.tips])

    def __call__(self, scene: Scene, chunks: Array) -> tuple[Array, Array]:
        """Of ``chunks`` (d, n, steps, dof), rad, from each state of ``scene``: the fingers (d, G, PER_FINGER), and what
        the chunks do (d, n, G, PER_STEP times the steps that are looked at)."""
        fingers = self._fingers(scene)
        of_fingers = np.concatenate([self._of_fingers(scene, fingers), self._of_object(scene, fingers.end)], axis=-1)
        return of_fingers, self._of_steps(scene, chunks[:, :, self.looked_at], fingers)

    def _fingers(self, scene: Scene) -> _Fingers:
        place, turn = self._tips.links(np.stack([scene.q, scene.q + DIFFERENCE_S * scene.dq]))
        tip, along = self._tip(place, turn), -turn[..., -1, :, 2]
        seen = _into_object(scene, tip[0, :, :, None] + along[0, :, :, None] * FINELY_M[:, None])
        at = (shares(np.asarray(self.shape.distance(seen))) @ FINELY_M)[..., None]
        points = tip + at * along
        there = _into_object(scene, points[0])
        gap, normal = self.shape.distance(there) - self._radius, unit(slope(self.shape.distance, there))
        end = self._touch(scene, points, there, normal, gap)
        near = self._side(_into_object(scene, place[0]), scene.turned[:, None, None].swapaxes(-1, -2) @ turn[0])
        on = _on_links(place, turn, near.link, near.local)
        side = self._touch(scene, on, near.seen, near.normal, near.gap)
        return _Fingers(tip[0], end, at, side, near.link, near.local)

    def _touch(self, scene: Scene, points: Array, seen: Array, normal: Array, gap: Array) -> _Touch:
        """The touch at the first of ``points`` (2, d, G, 3), which is at the second `DIFFERENCE_S` later."""
        point, later = points
        outward = (scene.turned[:, None] @ normal[..., None])[..., 0]
        at, along = self._told(point - scene.position[:, None]), self._told(outward)
        return _Touch(point, (later - point) / DIFFERENCE_S, seen, normal, gap, at, along)

    def _of_fingers(self, scene: Scene, fingers: _Fingers) -> Array:
        """Where each finger is, what it touches and how it moves there (d, G, 49)."""
        parts = (
            self._told(fingers.tip - scene.position[:, None]) / ACROSS_M,
            self._of_touch(scene, fingers.end),
            self._of_touch(scene, fingers.side),
            np.eye(self._tips.joints.shape[1])[fingers.link],
            self._by_finger((scene.q - self._middle) / self._half),
            self._by_finger(scene.dq * SPIN_S),
            self._by_finger(scene.smoothed),
        )
        return np.concatenate(parts, axis=-1)

    def _of_touch(self, scene: Scene, touch: _Touch) -> Array:
        """Where a finger's ``touch`` is, along which normal and with which lever, and how fast it moves, alone and
        against the object (d, G, 17)."""
        contact, normal = touch.at, touch.along
        speed = self._told(touch.speed)
        spin = self._told(np.broadcast_to(scene.spin[:, None], contact.shape))
        carried = self._told(np.broadcast_to(scene.velocity[:, None], contact.shape)) + rotations.cross(spin, contact)
        parts = (
            contact / ACROSS_M,
            normal,
            rotations.cross(contact, normal) / ACROSS_M,
            speed * RATE_S,
            (speed - carried) * RATE_S,
            touch.gap[..., None] / PRESSED_M,
            np.clip((0.5 * TOUCH_M - touch.gap[..., None]) / TOUCH_M, 0.0, 2.0),
        )
        return np.concatenate(parts, axis=-1)

    def _of_object(self, scene: Scene, touch: _Touch) -> Array:
        """Where the object is, how it moves and on what of it it rests, along each finger's axes (d, G, 17); and where
        on it the finger is, which way is up and what bears it, along the object's own (12)."""
        d, shape = len(scene.q), (len(scene.q), self.fingers, 3)
        up = scene.turned[:, 2]
        height = up @ self._cloud.T
        low = height.min(axis=1, keepdims=True)
        bears = np.exp((low - height) / SUPPORT_M)
        bears /= bears.sum(axis=1, keepdims=True)
        place = bears @ self._cloud
        lift = np.broadcast_to((low + scene.position[:, 2:])[:, None], (d, self.fingers, 1))

        def told(vectors: Array) -> Array:
            return self._told(np.broadcast_to(vectors[:, None], shape))

        parts = (
            -told(scene.position)[..., :2] / ACROSS_M,
            told(scene.position)[..., 2:] / ACROSS_M,
            told(scene.velocity) * RATE_S,
            told(scene.spin) * SPIN_S,
            told((scene.turned @ place[..., None])[..., 0]) / ACROSS_M,
            self._spread(scene, bears, place) * 2.0 / ACROSS_M**2,
            lift / PRESSED_M,
            np.tanh(lift / TOUCH_M),
            touch.point_seen / ACROSS_M,
            touch.normal_seen,
            np.broadcast_to(up[:, None], shape),
            np.broadcast_to(place[:, None], shape) / ACROSS_M,
        )
        return np.concatenate(parts, axis=-1)

    def _spread(self, scene: Scene, bears: Array, place: Array) -> Array:
        """How wide what bears the object is spread, m2, along each finger's axes (d, G, 3): in all, more outward than
        across, and askew."""
        around = (self._cloud - place[:, None]) @ scene.turned[:, :2].swapaxes(-1, -2)
        square = np.einsum("dc,dci,dcj->dij", bears, around, around)
        turn = self.frames.matrices[:, :2, :2]
        along = np.einsum("gki,dkl,glj->dgij", turn, square, turn)
        return np.stack(
            [
                along[..., 0, 0] + along[..., 1, 1],
                along[..., 0, 0] - along[..., 1, 1],
                2.0 * along[..., 0, 1],
            ],
            axis=-1,
        )

    def _of_steps(self, scene: Scene, chunks: Array, fingers: _Fingers) -> Array:
        """Where the postures would bring each finger, the object standing still (d, n, G, PER_STEP * steps)."""
        d, n, steps, dof = chunks.shape
        place, turn = self._tips.links(chunks.reshape(d, n * steps, dof))
        tip, along = self._tip(place, turn), -turn[..., -1, :, 2]
        end = tip + fingers.along[:, None] * along
        axis = np.concatenate([end[..., None, :], tip[..., None, :] + along[..., None, :] * ALONG_M[:, None]], axis=-2)
        end_gap = np.asarray(self.shape.distance(_into_object(scene, axis))).min(axis=-1)[..., None] - self._radius
        end = end - fingers.end.point[:, None]
        side = _on_links(place, turn, fingers.link[:, None], fingers.local[:, None]) - fingers.side.point[:, None]
        end, side, tip = (self._told(way) for way in (end, side, tip - fingers.tip[:, None]))
        # The box that is nearest now, as far as it goes along the normal: another one may come nearer.
        away = _dot(side, fingers.side.along[:, None])
        offset = (chunks - scene.q[:, None, None]).reshape(d, n * steps, dof) / self._largest_step
        parts = (
            tip / ACROSS_M,
            _of_way(fingers.end, end, end_gap),
            _of_way(fingers.side, side, fingers.side.gap[:, None, :, None] + away),
            self._by_finger(offset),
        )
        told = np.concatenate(parts, axis=-1).reshape(d, n, steps, self.fingers, PER_STEP)
        return told.transpose(0, 1, 3, 2, 4).reshape(d, n, self.fingers, steps * PER_STEP)

    def _told(self, vectors: Array) -> Array:
        """``vectors`` (..., G, 3) of the world along the axes of each finger."""
        return np.asarray(np.einsum("...gi,gij->...gj", vectors, self.frames.matrices))

    def _by_finger(self, joints: Array) -> Array:
        """``joints`` (..., dof) by finger (..., G, joints of one)."""
        return np.asarray(joints[..., self._tips.joints])

    def _tip(self, place: Array, turn: Array) -> Array:
        """The tips (..., G, 3) of fingers whose links are at ``place``, turned by ``turn``, m, world frame."""
        return np.asarray(place[..., -1, :] + np.einsum("...gij,gj->...gi", turn[..., -1, :, :], self._tip_places))


def _of_way(touch: _Touch, moved: Array, gap: Array) -> Array:
    """What a ``touch`` does that has ``moved`` (d, m, G, 3) along the fingers' axes, so that there is a ``gap``
    (d, m, G, 1): how deep it presses and how far it drags, with which levers (d, m, G, 17)."""
    at, along = touch.at[:, None], touch.along[:, None]
    depth = np.maximum(-gap, 0.0) / PRESSED_M
    dragged = (moved - _dot(moved, along) * along) * (gap < 0.0) / PRESSED_M
    parts = (
        gap / PRESSED_M,
        depth,
        depth * along,
        depth * rotations.cross(at, along) / ACROSS_M,
        dragged,
        rotations.cross(at, dragged) / ACROSS_M,
        moved / ACROSS_M,
    )
    return np.concatenate(parts, axis=-1)


def _dot(a: Array, b: Array) -> Array:
    """Products (..., 1) of vectors (..., 3)."""
    return np.asarray(a[..., :1] * b[..., :1] + a[..., 1:2] * b[..., 1:2] + a[..., 2:] * b[..., 2:])


def _on_links(place: Array, turn: Array, link: Indices, local: Array) -> Array:
    """Points (..., G, 3), world frame, that are ``local`` (..., G, 3) to the links ``link`` (..., G)."""
    whole = np.broadcast_to(link, place.shape[:-2])[..., None, None]
    at = np.take_along_axis(place, whole, axis=-2)[..., 0, :]
    turned = np.take_along_axis(turn, whole[..., None], axis=-3)[..., 0, :, :]
    return np.asarray(at + np.einsum("...ij,...j->...i", turned, np.broadcast_to(local, at.shape)))


def _into_object(scene: Scene, points: Array) -> Array:
    """``points`` (d, ..., 3) of the world in the frame of the object of each scene."""
    rows = points.reshape(len(points), -1, 3) - scene.position[:, None]
    return np.asarray((rows @ scene.turned).reshape(points.shape))
