"""From joint states and object poses to scene states: paired by their stamps, velocities from successive poses.

A simulated camera's frames have the stamps of joint states; a real one's lie between two, and the joints are then those
of that moment, interpolated.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import SceneState

KEEP = 16

GAP_NS = 100_000_000
"""Joint states further apart are not interpolated: one was lost, or the hand's are too rare."""


class SceneTracker:
    """Gives a SceneState as soon as both halves of a stamp are in. The order of arrival does not matter.

    A pose between two joint states waits for the later one, which says that none of its own stamp will come.
    """

    def __init__(self, hand: HandSpec) -> None:
        self.hand = hand
        self._joints: OrderedDict[int, tuple[Array, Array]] = OrderedDict()
        self._poses: OrderedDict[int, tuple[Array, Array]] = OrderedDict()
        self._last: tuple[int, Array, Array] | None = None

    def push_joints(self, stamp_ns: int, q: Array, dq: Array) -> SceneState | None:
        """Joint angles rad and rates rad/s (dof,) of ``stamp_ns``."""
        self._joints[stamp_ns] = (q, dq)
        if stamp_ns in self._poses:
            return self._pair(stamp_ns)
        waiting = [pose for pose in self._poses if pose < stamp_ns]
        return self._pair_between(max(waiting)) if waiting else None

    def push_pose(self, stamp_ns: int, position: Array, quaternion: Array) -> SceneState | None:
        """The object's centre m and w x y z in the world at ``stamp_ns``."""
        if self._last is not None and stamp_ns == self._last[0]:
            return None
        self._poses[stamp_ns] = (position, quaternion)
        return self._pair(stamp_ns) if stamp_ns in self._joints else self._pair_between(stamp_ns)

    def _pair_between(self, stamp_ns: int) -> SceneState | None:
        """With the joints interpolated at the stamp of a pose, where the states around it are in."""
        before = max((stamp for stamp in self._joints if stamp < stamp_ns), default=None)
        after = min((stamp for stamp in self._joints if stamp > stamp_ns), default=None)
        if before is None or after is None or after - before > GAP_NS:
            return None
        share = (stamp_ns - before) / (after - before)
        (q_0, dq_0), (q_1, dq_1) = self._joints[before], self._joints[after]
        self._joints[stamp_ns] = (q_0 + share * (q_1 - q_0), dq_0 + share * (dq_1 - dq_0))
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
