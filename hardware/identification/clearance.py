"""How far one finger stays from everything else: the other fingers, the palm, the table under a hand that hangs."""

from __future__ import annotations

import numpy as np

from knuckle.core import rotations
from knuckle.core.errors import unknown_name
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import base_to_world, link_poses
from knuckle.hardware.spec.link_cloud import link_cloud
from knuckle.hardware.spec.primitive_distance import signed_distance
from knuckle.hardware.spec.tip_kinematics import TipKinematics

POINTS = 60
# Links that are nearer than this to the palm or another finger at home are so by the way the hand is built, wherever
# they move: what is watched is the others, and always the last.
ROOT_M = 0.009


class Finger:
    """One finger of ``hand`` by its number, from 0: ``joints`` (K,), where they are among the hand's, and its links."""

    def __init__(self, hand: HandSpec, number: int) -> None:
        if not 0 <= number < len(hand.tips):
            known = [str(k) for k in range(len(hand.tips))]
            raise unknown_name("finger", str(number), known, where=f"hand {hand.name}")
        self.hand, self.number = hand, number
        self.joints = TipKinematics(hand).joints[number]
        names = {hand.joint_names[k] for k in self.joints}
        self.links = [i for i, link in enumerate(hand.links) if link.joint in names]
        self._cloud = link_cloud(hand, POINTS)
        apart = {i: self._from_links(hand.home, [i])[0] for i in self.links}
        self._outer = [i for i in self.links if apart[i] >= ROOT_M or i == self.links[-1]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its joints."""
        return tuple(self.hand.joint_names[k] for k in self.joints)

    def clearance(self, q: Array) -> float:
        """The least distance in m, at joint angles ``q`` (dof,), from its outer links to what does not move with them.

        Of points on its surface; negative where it cuts into something.
        """
        nearest, points = self._from_links(q, self._outer)
        if self.hand.palm_up:
            return nearest
        return min(nearest, float(base_to_world(self.hand, points)[:, 2].min()))

    def _from_links(self, q: Array, of_links: list[int]) -> tuple[float, Array]:
        """The least distance of points on ``of_links`` to links that are not the finger's, and the points (n, 3)."""
        positions, quaternions = link_poses(self.hand, q)
        moving = np.isin(self._cloud.link, of_links)
        own = self._cloud.link[moving]
        points = positions[own] + rotations.rotate(quaternions[own], self._cloud.points[moving])
        nearest = np.inf
        for i, link in enumerate(self.hand.links):
            if i in self.links:
                continue
            local = rotations.rotate(rotations.conjugate(quaternions[i]), points - positions[i])
            nearest = min(nearest, *(float(signed_distance(p, local).min()) for p in link.primitives))
        return nearest, points
