"""From joint states and object poses to scene states: paired by equal stamps, velocities from successive poses."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import SceneState

KEEP = 16


class SceneTracker:
    """Gives a SceneState as soon as both halves of a stamp are in. The order of arrival does not matter."""

    def __init__(self, hand: HandSpec) -> None:
        self.hand = hand
        self._joints: OrderedDict[int, tuple[Array, Array]] = OrderedDict()
        self._poses: OrderedDict[int, tuple[Array, Array]] = OrderedDict()
        self._last: tuple[int, Array, Array] | None = None

    def push_joints(self, stamp_ns: int, q: Array, dq: Array) -> SceneState | None:
        """Joint angles rad and rates rad/s (dof,) of ``stamp_ns``."""
        self._joints[stamp_ns] = (q, dq)
        return self._pair(stamp_ns)

    def push_pose(self, stamp_ns: int, position: Array, quaternion: Array) -> SceneState | None:
        """The object's centre m and w x y z in the world at ``stamp_ns``."""
        self._poses[stamp_ns] = (position, quaternion)
        return self._pair(stamp_ns)

    def _pair(self, stamp_ns: int) -> SceneState | None:
        for half in (self._joints, self._poses):
            while len(half) > KEEP:
                half.popitem(last=False)
        if stamp_ns not in self._joints or stamp_ns not in self._poses:
            return None
        if self._last is not None and stamp_ns <= self._last[0]:
            self._last = None
        q, dq = self._joints.pop(stamp_ns)
        position, quaternion = self._poses.pop(stamp_ns)
        velocity, spin = self._twist(stamp_ns, position, quaternion)
        self._last = (stamp_ns, position, quaternion)
        return SceneState(stamp_ns, q, dq, position, quaternion, velocity, spin)

    def _twist(self, stamp_ns: int, position: Array, quaternion: Array) -> tuple[Array, Array]:
        """Mean velocity m/s and spin rad/s since the last pose; zero at first, after a gap and after a reset."""
        if self._last is None:
            return np.zeros(3), np.zeros(3)
        dt = (stamp_ns - self._last[0]) * 1e-9
        if dt > 3.0 / self.hand.control_rate_hz:
            return np.zeros(3), np.zeros(3)
        turn = rotations.log(rotations.multiply(quaternion, rotations.conjugate(self._last[2])))
        return (position - self._last[1]) / dt, turn / dt
