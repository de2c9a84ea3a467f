"""A rigid body's pose and twist from poses measured now and then: a Kalman filter of constant velocity on R3 x SO(3).

The error state (12) is position, rotation (a small world-frame vector that multiplies from the left), velocity, spin.
"""

from __future__ import annotations

import math

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array


class PoseFilter:
    """Begins at a pose with covariance (6, 6), at rest, with unknown velocities.

    ``acceleration`` m/s^2 and ``spin_change`` rad/s^2 are the white accelerations allowed; velocities left alone decay
    with ``decay_s``, for fingers stop when they let go.
    """

    def __init__(
        self,
        position: Array,
        quaternion: Array,
        covariance: Array,
        *,
        acceleration: float,
        spin_change: float,
        decay_s: float,
    ) -> None:
        self.position, self.quaternion = position.copy(), rotations.normalize(quaternion)
        self.velocity, self.spin = np.zeros(3), np.zeros(3)
        self.p = np.zeros((12, 12))
        self.p[:6, :6] = covariance
        self.p[6:9, 6:9], self.p[9:, 9:] = 0.1**2 * np.eye(3), 1.0**2 * np.eye(3)
        self._density = np.array([acceleration**2] * 3 + [spin_change**2] * 3)
        self._decay_s = decay_s

    @property
    def covariance(self) -> Array:
        """Of position and rotation (6, 6): m and rad, world axes."""
        return np.asarray(self.p[:6, :6].copy())

    def predict(self, dt_s: float) -> None:
        """Go on by ``dt_s`` seconds."""
        kept = math.exp(-dt_s / self._decay_s)
        self.velocity, self.spin = kept * self.velocity, kept * self.spin
        self.position = self.position + dt_s * self.velocity
        self.quaternion = rotations.normalize(rotations.multiply(rotations.exp(dt_s * self.spin), self.quaternion))
        f = np.eye(12)
        f[:6, 6:] = dt_s * kept * np.eye(6)
        f[6:, 6:] = kept * np.eye(6)
        self.p = f @ self.p @ f.T
        # Fingers push in jolts: a change acts from the step's beginning, and a measured move is a measured mean speed.
        gain = np.concatenate([dt_s**2 * np.eye(6), dt_s * np.eye(6)])
        self.p += gain @ np.diag(self._density) @ gain.T

    def update(self, position: Array, quaternion: Array, covariance: Array) -> None:
        """Take in a measured pose with covariance (6, 6) of position and rotation, world axes."""
        turn = rotations.log(rotations.multiply(quaternion, rotations.conjugate(self.quaternion)))
        innovation = np.concatenate([position - self.position, turn])
        s = self.p[:6, :6] + covariance
        gain = np.linalg.solve(s, self.p[:6]).T
        step = gain @ innovation
        self.position = self.position + step[:3]
        self.quaternion = rotations.normalize(rotations.multiply(rotations.exp(step[3:6]), self.quaternion))
        self.velocity, self.spin = self.velocity + step[6:9], self.spin + step[9:]
        p = self.p - gain @ s @ gain.T
        self.p = 0.5 * (p + p.T)
