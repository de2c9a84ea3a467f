"""The classical velocity of an IMU: acceleration without gravity, integrated, and slowly forgotten.

An integral of acceleration alone drifts without bound; one that forgets with a time constant does not, and is right
for motions that are faster than it. `TAU_S` and the deviations are those of the 19 trials of BROAD that were at hand:
movement samples, mean over 0.2 s, RMSE 0.146, 0.147 and 0.109 m/s (with 0.5 s: 0.172, 0.236, 0.187).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]
TAU_S = 1.5
DEVIATION = np.array([0.15, 0.15, 0.11])
"""Of the error in each axis of the level frame, m/s."""
MEAN_OF = 10


class LeakyVelocity:
    """Accelerations in the level frame at ``rate_hz`` in; the mean velocity over the newest ten samples out.

    What was is forgotten with the time constant ``tau_s``.
    """

    def __init__(self, rate_hz: float, tau_s: float = TAU_S) -> None:
        self._dt, self._keep = 1.0 / rate_hz, math.exp(-1.0 / (rate_hz * tau_s))
        self._velocity: Array = np.zeros(3)
        self._recent: Array = np.zeros((MEAN_OF, 3))

    def push(self, acc: Array) -> Array:
        """Take an acceleration (3,) without gravity, m/s^2; the velocity (3,), m/s."""
        self._velocity = self._keep * self._velocity + self._dt * acc
        self._recent = np.concatenate([self._recent[1:], self._velocity[None]])
        return np.asarray(self._recent.mean(axis=0))

    def state(self) -> dict[str, Any]:
        """All that the next `push` depends on."""
        return {"velocity": self._velocity.tolist(), "recent": self._recent.ravel().tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state`` bit for bit."""
        self._velocity = np.array(state["velocity"], dtype=np.float64)
        self._recent = np.array(state["recent"], dtype=np.float64).reshape(MEAN_OF, 3)


def leaky_velocity(acc: Array, rate_hz: float, tau_s: float = TAU_S) -> Array:
    """What `LeakyVelocity` gives for each of the accelerations (L, 3), to rounding."""
    velocity = lfilter([1.0 / rate_hz], [1.0, -math.exp(-1.0 / (rate_hz * tau_s))], acc, axis=0)
    return np.asarray(lfilter(np.full(MEAN_OF, 1.0 / MEAN_OF), [1.0], velocity, axis=0))
