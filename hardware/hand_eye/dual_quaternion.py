"""AX = XB by dual quaternions: Daniilidis, "Hand-Eye Calibration Using Dual Quaternions", IJRR 1999, sections 5 and 6.

A motion is q + e q' with q its rotation and q' = t q / 2. With vector parts a, a', b, b' of A and B each pair of
motions gives six equations, linear in the eight numbers of X = q + e q' (eq. 31), whose null space has two dimensions;
the constraints q.q = 1 and q.q' = 0 choose in it (eq. 33 to 35).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array

Pose = tuple[Array, Array]
"""Quaternion (4,) w x y z and position (3,) m."""

LEAST_TURN_RAD = 0.05


def fixed_camera(tips: Sequence[Pose], markers: Sequence[Pose]) -> Pose | None:
    """The camera in the base, by poses of the tip in the base and of the marker in the camera, view by view.

    The marker sits still on the tip, T^-1 X C = Y in every view, so any two have (T_j T_i^-1) X = X (C_j C_i^-1).
    None where the motions leave X open.
    """
    rows = []
    for i, j in combinations(range(len(tips)), 2):
        a, b = compose(tips[j], inverse(tips[i])), compose(markers[j], inverse(markers[i]))
        if 2.0 * math.acos(min(1.0, abs(float(a[0][0])))) > LEAST_TURN_RAD:
            rows.append(_equations(_dual(a), _dual(b)))
    if len(rows) < 2:
        return None
    _, values, basis = np.linalg.svd(np.concatenate(rows))
    if values[5] < 1e-6 * values[0]:
        return None
    return _choose(basis[6], basis[7])


def compose(a: Pose, b: Pose) -> Pose:
    """First ``b``, then ``a``."""
    return rotations.multiply(a[0], b[0]), np.asarray(rotations.rotate(a[0], b[1]) + a[1])


def inverse(a: Pose) -> Pose:
    """The way back."""
    back = rotations.conjugate(a[0])
    return back, -np.asarray(rotations.rotate(back, a[1]))


def _dual(pose: Pose) -> tuple[Array, Array]:
    """q with a scalar part that is not negative, and q'."""
    q = pose[0] if pose[0][0] >= 0.0 else -pose[0]
    return q, 0.5 * rotations.multiply(np.concatenate([[0.0], pose[1]]), q)


def _equations(a: tuple[Array, Array], b: tuple[Array, Array]) -> Array:
    """The rows (6, 8) of one pair of motions, eq. 31."""
    rows = np.zeros((6, 8))
    for row, (real_a, real_b) in ((0, (a[0], b[0])), (3, (a[1], b[1]))):
        rows[row : row + 3, 0] = (real_a - real_b)[1:]
        rows[row : row + 3, 1:4] = _cross((real_a + real_b)[1:])
    rows[3:, 4:] = rows[:3, :4]
    return rows


def _cross(v: Array) -> Array:
    x, y, z = v
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _choose(first: Array, second: Array) -> Pose | None:
    """The unit dual quaternion in the plane of two null vectors."""
    u1, v1, u2, v2 = first[:4], first[4:], second[:4], second[4:]
    roots = np.roots([u1 @ v1, u1 @ v2 + u2 @ v1, u2 @ v2]) if abs(u1 @ v1) > 1e-15 else np.array([0.0])
    ratios = [float(root.real) for root in roots if abs(root.imag) < 1e-9]
    if not ratios:
        return None
    norms = [s * s * (u1 @ u1) + 2.0 * s * (u1 @ u2) + u2 @ u2 for s in ratios]
    best = int(np.argmax(norms))
    if norms[best] <= 1e-12:
        return None
    scale = 1.0 / math.sqrt(norms[best])
    q, dual = scale * (ratios[best] * u1 + u2), scale * (ratios[best] * v1 + v2)
    return rotations.normalize(q), 2.0 * rotations.multiply(dual, rotations.conjugate(q))[1:]
