"""Plans that know about grasps: tips go to points of the object's surface, squeeze, and move with the wanted turn.

For a contact at surface point p with outward normal n the tip's centre aims at p + n (r - s): r is the pad's radius and
s how far behind the surface it aims, which is how a position servo squeezes. The contacts of a candidate are drawn by
what pushing there would do for the turn, (p - c) x (-n) . w, and by how near they are to the tip that shall go there;
then all tips turn with the object, x -> c + exp(w t)(x - c), and may lift it. Inverse kinematics poses the knots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.policy.contract import SceneState
from knuckle.policy.tip_reach import reach

SURFACE_POINTS = 256
NORMAL_STEP_M = 1e-4
# How strongly contacts are preferred that help the turn (per 1 cm of lever), and that are near the tip (per 1 cm).
LEVER_GAIN = 0.8
NEARNESS = 0.35
# In a grasp: how strongly a contact is preferred that faces its finger, and (per 1 cm) one at the centre's height.
FACING = 4.0
HEIGHT = 0.8
ABOVE_TABLE_M = 0.003


@dataclass(frozen=True)
class Surface:
    """Points (n, 3) on an object's surface and outward unit normals (n, 3), object frame."""

    points: Array
    normals: Array


def surface_of(thing: ObjectShape, n: int = SURFACE_POINTS) -> Surface:
    """``n`` points of the surface; normals are the distance's gradient."""
    points = thing.cloud(n)
    steps = NORMAL_STEP_M * np.eye(3)
    rise = [thing.distance(points + step) - thing.distance(points - step) for step in steps]
    normals = np.stack(rise, axis=-1)
    return Surface(points, normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12))


class GraspProposals:
    """Draws grasp-and-turn plans for ``hand`` on ``thing``."""

    def __init__(self, hand: HandSpec, thing: ObjectShape, knots: int) -> None:
        self.hand, self.knots = hand, knots
        self.tips = TipKinematics(hand, "world")
        self.surface = surface_of(thing)
        self.radii = np.array([tip.radius for tip in hand.tips])

    def draw(self, state: SceneState, aim: Array, plan: Array, n: int, rng: np.random.Generator) -> Array:
        """``n`` candidates (n, knots, dof) in rad that turn the object towards ``aim`` (w x y z, world).

        Fingers that a candidate leaves out follow ``plan`` (knots, dof).
        """
        centre = state.position
        points = centre + rotations.rotate(state.quaternion, self.surface.points)
        normals = rotations.rotate(state.quaternion, self.surface.normals)
        turns = self._turns(state.quaternion, aim, n, rng)
        tips = self.tips.poses(state.q)[0]
        chosen = self._contacts(points, normals, centre, turns, tips, rng)
        targets = self._paths(points[chosen], normals[chosen], centre, turns, rng)
        postures = reach(self.tips, targets, state.q)
        used = rng.random((n, len(self.radii))) < 0.8
        used[1::2] = True
        mask = np.zeros((n, self.hand.dof), dtype=bool)
        for finger, joints in enumerate(self.tips.joints):
            mask[:, joints] = used[:, finger, None]
        return np.where(mask[:, None, :], postures, plan[None])

    def _turns(self, quaternion: Array, aim: Array, n: int, rng: np.random.Generator) -> Array:
        """Rotation vectors (n, 3), world: towards the aim, by 0.3 to 1.5 rad, about axes that scatter around it."""
        left = rotations.log(rotations.multiply(aim, rotations.conjugate(quaternion)))
        angle = float(np.linalg.norm(left))
        axis = left / max(angle, 1e-9) + 0.3 * rng.standard_normal((n, 3)) * rng.random((n, 1))
        axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
        return np.asarray(axis * np.minimum(rng.uniform(0.3, 1.5, (n, 1)), angle))

    def _contacts(
        self, points: Array, normals: Array, centre: Array, turns: Array, tips: Array, rng: np.random.Generator
    ) -> Array:
        """Indices (n, tips) of the surface points each tip goes to, drawn by the Gumbel trick.

        Every second candidate pushes where that helps the turn; the others close around the object, each finger on its
        own side and at the height of the centre, so as to carry it.
        """
        n = len(turns)
        axes = turns / np.maximum(np.linalg.norm(turns, axis=-1, keepdims=True), 1e-9)
        lever = -np.cross(points - centre, normals) @ axes.T
        away = np.linalg.norm(tips[:, None] - points[None], axis=-1)
        gain = LEVER_GAIN * 100.0 * rng.uniform(0.0, 1.0, n)
        score = gain[:, None, None] * lever.T[:, None, :] - NEARNESS * 100.0 * away[None]
        sides = (tips - centre) * np.array([1.0, 1.0, 0.0])
        sides /= np.maximum(np.linalg.norm(sides, axis=-1, keepdims=True), 1e-9)
        facing = normals @ sides.T
        height = np.abs(points[:, 2] - centre[2])
        score[1::2] = (FACING * facing - 100.0 * HEIGHT * height[:, None]).T - 0.3 * NEARNESS * 100.0 * away
        hidden = (normals[:, 2] < -0.5) | (points[:, 2] < 0.5 * float(self.radii.min()))
        score = np.where(hidden, -1e9, score) + rng.gumbel(size=score.shape)
        return np.asarray(score.argmax(axis=-1))

    def _paths(self, points: Array, normals: Array, centre: Array, turns: Array, rng: np.random.Generator) -> Array:
        """Tip centres (n, knots, tips, 3), world: before the contact or at once on it, then turned and lifted."""
        n = len(turns)
        squeeze = rng.uniform(0.003, 0.03, (n, 1, 1))
        squeeze[1::2] += 0.007
        lift = rng.uniform(0.0, 0.05, n) * (rng.random(n) < 0.6)
        waits = rng.random(n) < 0.6
        progress = np.linspace(0.0, 1.0, self.knots)
        late = np.maximum(np.linspace(-0.5, 1.0, self.knots), 0.0)
        share = np.where(waits[:, None], late, progress)
        contact = points + normals * (self.radii[:, None] - squeeze)
        arm = contact - centre
        turned = rotations.rotate(
            rotations.exp(turns[:, None, :] * share[..., None])[:, :, None, :], arm[:, None, :, :]
        )
        paths = centre + turned
        paths[..., 2] += (lift[:, None] * share)[..., None]
        before = contact + normals * (squeeze + 0.015)
        paths[waits, 0] = before[waits]
        paths[..., 2] = np.maximum(paths[..., 2], self.radii + ABOVE_TABLE_M)
        return paths
