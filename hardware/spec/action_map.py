"""The one action map: smoothing, relative to the current posture, clamped (Visual Dexterity, supplement; 12 Hz).

    a_bar_t = alpha a_t + (1 - alpha) a_bar_{t-1},  alpha = 0.8
    target  = clamp(q_t + a_bar_t * v_max / rate, lower, upper),  v_max = 3.5 rad/s

The same object serves planner, batch world, policy node and driver tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from knuckle.hardware.spec.hand_spec import Array, HandSpec


@dataclass(frozen=True)
class ActionMap:
    """Actions (..., dof) in [-1, 1] to joint targets (..., dof) in rad."""

    spec: HandSpec
    smoothing: float = 0.8

    @property
    def step_rad(self) -> float:
        """The largest change of one joint that one action asks for, rad."""
        return self.spec.policy_speed / self.spec.control_rate_hz

    def smooth(self, action: ArrayLike, previous: ArrayLike) -> Array:
        """a_bar from this action (clipped to [-1, 1]) and the previous a_bar."""
        a = np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0)
        return np.asarray(self.smoothing * a + (1.0 - self.smoothing) * np.asarray(previous))

    def target(self, q: ArrayLike, smoothed: ArrayLike) -> Array:
        """The joint target for the current posture ``q`` and the smoothed action."""
        wanted = np.asarray(q, dtype=np.float64) + np.asarray(smoothed) * self.step_rad
        return np.clip(wanted, self.spec.lower, self.spec.upper)

    def towards(self, q: ArrayLike, posture: ArrayLike, previous: ArrayLike) -> Array:
        """The action whose target comes nearest to an absolute ``posture``: the inverse of smoothing and step."""
        wanted = (np.asarray(posture) - np.asarray(q, dtype=np.float64)) / self.step_rad
        raw = (wanted - (1.0 - self.smoothing) * np.asarray(previous)) / self.smoothing
        return np.clip(raw, -1.0, 1.0)
