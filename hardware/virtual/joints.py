"""A plant without a simulator: joints that lag behind their targets, each by itself. To test and try drivers with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array, HandSpec


class LaggingJoints:
    """Joints of ``hand`` that go towards their targets with a time constant ``lag_s``, never faster than they may.

    Effort is what a spring of the joint's stiffness would need for the error that is left, within the effort limit and
    with ``load`` (dof,) N m added, so that a held weight shows as current. A joint without torque stays where it is.
    With ``stops`` joints stop hard at the hand's limits, and push against them.
    """

    def __init__(
        self, hand: HandSpec, *, q: Array | None = None, lag_s: float = 0.02, now_ns: int = 0, stops: bool = False
    ) -> None:
        self.hand, self._lag_s, self._now_ns = hand, lag_s, now_ns
        self._q = (hand.home if q is None else q).copy()
        self._dq = np.zeros(hand.dof)
        self._stops = stops
        self._target = self._q.copy()
        self._limit = hand.effort_limit.copy()
        self._on = np.zeros(hand.dof, dtype=np.bool_)
        self.load = np.zeros(hand.dof)
        self._stiffness = np.array([joint.stiffness for joint in hand.joints])

    def joint_state(self) -> tuple[Array, Array, Array]:
        """q rad, dq rad/s, effort N m, each (dof,)."""
        effort = np.clip(self._stiffness * (self._target - self._q) + self.load, -self._limit, self._limit)
        return self._q.copy(), self._dq.copy(), np.where(self._on, effort, 0.0)

    def set_target(self, q: Array) -> None:
        """Position targets (dof,), rad."""
        self._target = q.copy()

    def set_torque(self, on: NDArray[np.bool_]) -> None:
        """Which joints are driven (dof,)."""
        self._on = on.copy()

    def set_effort_limit(self, effort: Array) -> None:
        """The largest effort of each joint (dof,), N m."""
        self._limit = np.minimum(effort, self.hand.effort_limit)

    def advance(self, to_ns: int) -> None:
        """Let time pass until ``to_ns``."""
        dt = (to_ns - self._now_ns) * 1e-9
        if dt <= 0.0:
            return
        self._now_ns = to_ns
        wanted = np.clip(self._target, self.hand.lower, self.hand.upper) if self._stops else self._target
        step = (wanted - self._q) * -np.expm1(-dt / self._lag_s)
        top = self.hand.velocity_limit * dt
        step = np.where(self._on, np.clip(step, -top, top), 0.0)
        self._q += step
        self._dq = step / dt
