"""What a chunk of postures is, seen from the object: where each finger is, and where on the surface it would push.

Everything is in the object's frame, so that one network serves any orientation and any finger. A finger's contact is
the point nearest to the surface of the axis of its last link; what the postures do is told by where tip and contact
would be if the object stood still: how deep they would press, along which normal, with which lever, and how far they
would drag along the surface. Beside that, how the object stands: which way is down, and on what part of it it rests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.hardware.spec.tip_kinematics import TipKinematics

Indices = NDArray[np.intp]

PER_FINGER, PER_SCENE, PER_STEP = 29, 24, 23
"""Numbers of a finger, of the scene, and of a finger at each looked-at step of a chunk."""
ALONG_M = np.array([0.0, 0.013, 0.027, 0.04])
"""Where the axis of a last link is looked at, m from its tip."""
SUPPORT_M, CLOUD_POINTS = 0.004, 200
"""Height over the lowest point within which the surface is taken to bear the object; points of the surface."""
TOUCH_M, PRESSED_M, ACROSS_M = 0.004, 0.02, 0.05
"""Lengths that a number of 1 stands for: a gap, how deep or how far a finger goes, a place on the object."""
RATE_S, SPIN_S = 2.0, 0.2
"""What speeds, m/s, and spins, rad/s, are multiplied by."""


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


class ContactFeatures:
    """The numbers that tell of chunks of ``hand`` on ``shape``; ``looked_at`` are the steps that are told of."""

    def __init__(self, hand: HandSpec, shape: ObjectShape, looked_at: tuple[int, ...]) -> None:
        self.hand, self.shape, self.looked_at = hand, shape, list(looked_at)
        self._tips = TipKinematics(hand, "world")
        self.fingers = len(hand.tips)
        self._radius = hand.tips[0].radius
        self._middle, self._half = (hand.upper + hand.lower) / 2.0, (hand.upper - hand.lower) / 2.0
        outward = self._tips.poses(np.asarray(hand.home))[0] * np.array([1.0, 1.0, 0.0])
        self._outward = outward / np.linalg.norm(outward, axis=-1, keepdims=True)
        self._cloud = shape.cloud(CLOUD_POINTS)

    def __call__(self, scene: Scene, chunks: Array) -> tuple[Array, Array, Array]:
        """Of ``chunks`` (d, n, steps, dof), rad, from each state of ``scene``: the fingers (d, G, PER_FINGER), the
        scene (d, PER_SCENE), and what the chunks do (d, n, G, PER_STEP times the steps that are looked at)."""
        inverse = rotations.conjugate(scene.quaternion)
        axis = self._seen(self._axis_points(scene.q), scene, inverse)
        ahead = self._axis_points(scene.q + 1e-3 * scene.dq)
        nearest = np.asarray(self.shape.distance(axis)).argmin(axis=-1)[..., None, None]
        tip, contact = axis[:, :, 0], np.take_along_axis(axis, nearest, axis=2)[:, :, 0]
        later = np.take_along_axis(self._seen(ahead, scene, inverse), nearest, axis=2)[:, :, 0]
        gap, normal = self._surface(contact)
        fingers = self._fingers(scene, inverse, tip, contact, (later - contact) / 1e-3, gap, normal)
        steps = self._steps(scene, inverse, chunks[:, :, self.looked_at], tip, contact, nearest, normal)
        return fingers, self._scene(scene, inverse), steps

    def _fingers(
        self,
        scene: Scene,
        inverse: Array,
        tip: Array,
        contact: Array,
        speed: Array,
        gap: Array,
        normal: Array,
    ) -> Array:
        """Where each finger is and what it touches (d, G, PER_FINGER)."""
        shape = (len(tip), self.fingers, -1)
        outward = rotations.rotate(inverse[:, None], np.broadcast_to(self._outward, tip.shape))
        parts = (
            tip / ACROSS_M,
            contact / ACROSS_M,
            normal,
            rotations.cross(contact, normal) / ACROSS_M,
            speed * RATE_S,
            outward,
            self._by_finger((scene.q - self._middle) / self._half).reshape(shape),
            self._by_finger(scene.dq * SPIN_S).reshape(shape),
            self._by_finger(scene.smoothed).reshape(shape),
            gap[..., None] / PRESSED_M,
            np.clip((0.5 * TOUCH_M - gap[..., None]) / TOUCH_M, 0.0, 2.0),
        )
        return np.concatenate(parts, axis=-1)

    def _scene(self, scene: Scene, inverse: Array) -> Array:
        """How the object lies and moves, and on what of it it rests (d, PER_SCENE)."""
        up = rotations.rotate(inverse, np.broadcast_to([0.0, 0.0, 1.0], scene.position.shape))
        height = up @ self._cloud.T
        low = height.min(axis=1, keepdims=True)
        bears = np.exp((low - height) / SUPPORT_M)
        bears /= bears.sum(axis=1, keepdims=True)
        place, (i, j) = bears @ self._cloud, ([0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2])
        spread = bears @ (self._cloud[:, i] * self._cloud[:, j]) - place[:, i] * place[:, j]
        lift = low + scene.position[:, 2:]
        parts = (
            up,
            scene.position[:, 2:] / ACROSS_M,
            rotations.rotate(inverse, scene.position * np.array([1.0, 1.0, 0.0])) / ACROSS_M,
            rotations.rotate(inverse, scene.velocity) * RATE_S,
            rotations.rotate(inverse, scene.spin) * SPIN_S,
            place / ACROSS_M,
            spread * 2.0 / ACROSS_M**2,
            lift / PRESSED_M,
            np.tanh(lift / TOUCH_M),
        )
        return np.concatenate(parts, axis=-1)

    def _steps(
        self, scene: Scene, inverse: Array, chunks: Array, tip: Array, contact: Array, nearest: Indices, normal: Array
    ) -> Array:
        """Where the postures would bring each finger, the object standing still (d, n, G, PER_STEP * steps)."""
        d, n, steps, dof = chunks.shape
        axis = self._axis_points(chunks.reshape(d, n * steps, dof))
        axis = rotations.rotate(inverse[:, None, None, None], axis - scene.position[:, None, None, None])
        gap = np.asarray(self.shape.distance(axis)).min(axis=-1)[..., None] - self._radius
        moved = np.take_along_axis(axis, nearest[:, None], axis=3)[..., 0, :] - contact[:, None]
        at, along = contact[:, None], normal[:, None]
        depth = np.maximum(-gap, 0.0) / PRESSED_M
        dragged = (moved - (moved * along).sum(axis=-1, keepdims=True) * along) * (gap < 0.0) / PRESSED_M
        offset = (chunks - scene.q[:, None, None]).reshape(d, n * steps, dof) / self._largest_step
        parts = (
            (axis[..., 0, :] - tip[:, None]) / ACROSS_M,
            gap / PRESSED_M,
            depth,
            depth * along,
            depth * rotations.cross(at, along) / ACROSS_M,
            dragged,
            rotations.cross(at, dragged) / ACROSS_M,
            moved / ACROSS_M,
            self._by_finger(offset),
        )
        told = np.concatenate(parts, axis=-1).reshape(d, n, steps, self.fingers, PER_STEP)
        return told.transpose(0, 1, 3, 2, 4).reshape(d, n, self.fingers, steps * PER_STEP)

    @property
    def _largest_step(self) -> float:
        return self.hand.policy_speed / self.hand.control_rate_hz

    def _by_finger(self, joints: Array) -> Array:
        """``joints`` (..., dof) by finger (..., G, joints of one)."""
        return np.asarray(joints[..., self._tips.joints])

    def _axis_points(self, q: Array) -> Array:
        """Points (..., G, 4, 3) of the axes of the last links, the tip first, m, world frame."""
        tip, quaternion = self._tips.poses(q)
        axis = rotations.rotate(quaternion, np.broadcast_to([0.0, 0.0, 1.0], tip.shape))
        return np.asarray(tip[..., None, :] - axis[..., None, :] * ALONG_M[:, None])

    def _seen(self, points: Array, scene: Scene, inverse: Array) -> Array:
        """``points`` (d, G, 4, 3) of the world in the object's frame."""
        return rotations.rotate(inverse[:, None, None], points - scene.position[:, None, None])

    def _surface(self, points: Array) -> tuple[Array, Array]:
        """The gap (d, G) between a finger about ``points`` (d, G, 3) and the surface, m, and the outward normal."""
        gap, step = np.asarray(self.shape.distance(points)), 1e-4
        slopes = [np.asarray(self.shape.distance(points + step * axis)) - gap for axis in np.eye(3)]
        normal = np.stack(slopes, axis=-1) / step
        # Between two primitives the slope is no unit vector; a short one says that there is no one normal.
        return gap - self._radius, normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 0.3)
