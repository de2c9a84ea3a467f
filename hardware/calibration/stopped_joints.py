"""Joints between mechanical stops, as a plant to rehearse homing with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array, HandSpec


class StoppedJoints:
    """Joints of ``hand`` that follow their targets no faster than they may, and stop hard at the hand's limits.

    A joint without torque stays where it is. Effort is a spring's, within what the servo may use.
    """

    def __init__(self, hand: HandSpec, now_ns: int) -> None:
        self._hand, self._now_ns = hand, now_ns
        self._stiffness = np.array([joint.stiffness for joint in hand.joints])
        self._q, self._dq = hand.home.copy(), np.zeros(hand.dof)
        self._target, self._limit = self._q.copy(), hand.effort_limit.copy()
        self._on: NDArray[np.bool_] = np.zeros(hand.dof, dtype=np.bool_)

    def joint_state(self) -> tuple[Array, Array, Array]:
        """q rad, dq rad/s, effort N m."""
        effort = np.clip(self._stiffness * (self._target - self._q), -self._limit, self._limit)
        return self._q.copy(), self._dq.copy(), np.where(self._on, effort, 0.0)

    def set_target(self, q: Array) -> None:
        """Position targets, rad."""
        self._target = q.copy()

    def set_torque(self, on: NDArray[np.bool_]) -> None:
        """Which joints are driven."""
        self._on = on.copy()

    def set_effort_limit(self, effort: Array) -> None:
        """The largest effort, N m."""
        self._limit = np.minimum(effort, self._hand.effort_limit)

    def advance(self, to_ns: int) -> None:
        """Let time pass until ``to_ns``."""
        dt = (to_ns - self._now_ns) * 1e-9
        if dt <= 0.0:
            return
        self._now_ns = to_ns
        top = self._hand.velocity_limit * dt
        wanted = np.clip(self._target, self._hand.lower, self._hand.upper)
        step = np.where(self._on, np.clip(wanted - self._q, -top, top), 0.0)
        self._q, self._dq = self._q + step, step / dt
