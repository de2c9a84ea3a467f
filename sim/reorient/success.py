"""The five conditions of Visual Dexterity's success: near the goal, and hand, object and action at rest. Any batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.hardware.spec.hand_spec import Array

SUCCESS_ANGLE = 0.4
JOINT_RATE_NORM = 0.25
OBJECT_SPEED = 0.04
OBJECT_SPIN = 0.5
ACTION_NORM = 1.0


def at_rest(joint_rate: ArrayLike, speed: ArrayLike, spin: ArrayLike, action: ArrayLike) -> NDArray[np.bool_]:
    """Whether the four conditions beside the angle hold, (...), for the norms (...) of joint rates (rad/s), object
    speed (m/s) and spin (rad/s), and of the smoothed action."""
    quiet = np.asarray(joint_rate) <= JOINT_RATE_NORM
    quiet = quiet & (np.asarray(speed) <= OBJECT_SPEED) & (np.asarray(spin) <= OBJECT_SPIN)
    return np.asarray(quiet & (np.asarray(action) <= ACTION_NORM))


def norms(vectors: Array) -> Array:
    """Euclidean norms (...) of ``vectors`` (..., n)."""
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", vectors, vectors)))
