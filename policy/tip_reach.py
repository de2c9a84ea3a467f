"""Inverse kinematics of all fingers at once: damped least squares towards tip positions, within joint limits."""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.tip_kinematics import TipKinematics

DAMPING_M2 = 2e-5
LONGEST_STEP_RAD = 0.6


def reach(tips: TipKinematics, targets: Array, q: Array, iterations: int = 6) -> Array:
    """Joint angles (..., dof) that bring the tip centres near ``targets`` (..., tips, 3) m, from posture ``q`` (dof,).

    In the frame of ``tips``. A target out of reach is approached as far as the limits allow; no error is raised.
    """
    hand = tips.hand
    batch = targets.shape[:-2]
    angles = np.broadcast_to(q, (*batch, hand.dof)).copy()
    damping = DAMPING_M2 * np.eye(3)
    for _ in range(iterations):
        error = targets - tips.poses(angles)[0]
        jacobian = tips.jacobian(angles)
        gram = jacobian @ np.swapaxes(jacobian, -1, -2) + damping
        step = np.einsum("...ij,...i->...j", jacobian, np.linalg.solve(gram, error[..., None])[..., 0])
        step = np.clip(step, -LONGEST_STEP_RAD, LONGEST_STEP_RAD)
        for finger, joints in enumerate(tips.joints):
            angles[..., joints] += step[..., finger, :]
        angles = np.clip(angles, hand.lower, hand.upper)
    return np.asarray(angles)
