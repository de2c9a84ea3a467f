"""Rotations as unit quaternions, w x y z, float64, broadcasting over leading axes.

A quaternion q turns a vector of frame B into frame A (active: v_A = q v_B conj(q)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.core.errors import InputError

Array = NDArray[np.float64]
IDENTITY: Array = np.array([1.0, 0.0, 0.0, 0.0])


def normalize(q: ArrayLike) -> Array:
    """``q`` (..., 4) scaled to unit norm."""
    a = np.asarray(q, dtype=np.float64)
    return np.asarray(a / np.linalg.norm(a, axis=-1, keepdims=True))


def require_unit(q: ArrayLike, *, where: str, tolerance: float = 1e-3) -> Array:
    """``q`` as a unit quaternion, or InputError when it is zero, not finite or more than ``tolerance`` off."""
    a = np.asarray(q, dtype=np.float64)
    right = "a unit quaternion, for example w x y z = 1 0 0 0"
    if a.shape != (4,) or not np.isfinite(a).all():
        raise InputError(f"{np.round(a, 6).tolist()} is not a finite quaternion", where=where, right=right)
    norm = float(np.linalg.norm(a))
    if norm == 0.0:
        raise InputError("the quaternion is zero", where=where, right=right)
    if abs(norm - 1.0) > tolerance:
        raise InputError(f"the quaternion's norm is {norm:.4g}, not 1", where=where, right=right)
    return a / norm


def multiply(a: ArrayLike, b: ArrayLike) -> Array:
    """Hamilton product a ⊗ b, (..., 4)."""
    p, q = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    aw, ax, ay, az = p[..., 0], p[..., 1], p[..., 2], p[..., 3]
    bw, bx, by, bz = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    # Written part by part: for the few quaternions of a control step, stacking costs more than the product.
    out = np.empty((*np.broadcast_shapes(p.shape[:-1], q.shape[:-1]), 4))
    out[..., 0] = aw * bw - ax * bx - ay * by - az * bz
    out[..., 1] = aw * bx + ax * bw + ay * bz - az * by
    out[..., 2] = aw * by - ax * bz + ay * bw + az * bx
    out[..., 3] = aw * bz + ax * by - ay * bx + az * bw
    return out


def conjugate(q: ArrayLike) -> Array:
    """The inverse of a unit quaternion."""
    return np.asarray(np.asarray(q, dtype=np.float64) * np.array([1.0, -1.0, -1.0, -1.0]))


def rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Vector(s) ``v`` (..., 3) turned by ``q`` (..., 4)."""
    a, u = np.asarray(q, dtype=np.float64), np.asarray(v, dtype=np.float64)
    w, axis = a[..., :1], a[..., 1:]
    t = 2.0 * cross(axis, u)
    return np.asarray(u + w * t + cross(axis, t))


def cross(a: ArrayLike, b: ArrayLike) -> Array:
    """The vector product a x b, (..., 3): numpy's to the last bit, at half its price for the few rows of a step."""
    p, q = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    ax, ay, az = p[..., 0], p[..., 1], p[..., 2]
    bx, by, bz = q[..., 0], q[..., 1], q[..., 2]
    out = np.empty((*np.broadcast_shapes(p.shape[:-1], q.shape[:-1]), 3))
    out[..., 0] = ay * bz - az * by
    out[..., 1] = az * bx - ax * bz
    out[..., 2] = ax * by - ay * bx
    return out


def from_axis_angle(axis: ArrayLike, angle_rad: ArrayLike) -> Array:
    """The rotation by ``angle_rad`` (...) about the unit ``axis`` (..., 3)."""
    half = 0.5 * np.asarray(angle_rad, dtype=np.float64)[..., None]
    return np.concatenate([np.cos(half), np.sin(half) * np.asarray(axis, dtype=np.float64)], axis=-1)


def exp(rotvec: ArrayLike) -> Array:
    """The exponential map: rotation vector (..., 3) in rad to quaternion."""
    v = np.asarray(rotvec, dtype=np.float64)
    angle = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.concatenate([np.cos(0.5 * angle), 0.5 * np.sinc(0.5 * angle / np.pi) * v], axis=-1)


def log(q: ArrayLike) -> Array:
    """The rotation vector (..., 3) in rad of ``q``, of angle at most pi."""
    a = np.asarray(q, dtype=np.float64)
    a = np.where(a[..., :1] < 0.0, -a, a)
    s = np.linalg.norm(a[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(s, a[..., :1])
    scale = np.where(s > 1e-12, angle / np.where(s > 1e-12, s, 1.0), 2.0)
    return np.asarray(scale * a[..., 1:])


def angle_between(a: ArrayLike, b: ArrayLike) -> Array:
    """The smallest angle in rad between two rotations, (...)."""
    d = multiply(conjugate(a), b)
    return np.asarray(2.0 * np.arctan2(np.linalg.norm(d[..., 1:], axis=-1), np.abs(d[..., 0])))


def to_matrix(q: ArrayLike) -> Array:
    """Rotation matrix (..., 3, 3) of ``q``."""
    w, x, y, z = np.moveaxis(np.asarray(q, dtype=np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def from_matrix(m: ArrayLike) -> Array:
    """The quaternion of rotation matrix ``m`` (..., 3, 3), w >= 0 (Bar-Itzhack: largest eigenvector)."""
    r = np.asarray(m, dtype=np.float64)
    k = np.empty((*r.shape[:-2], 4, 4))
    k[..., 0, 0] = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    k[..., 1, 1] = r[..., 0, 0] - r[..., 1, 1] - r[..., 2, 2]
    k[..., 2, 2] = r[..., 1, 1] - r[..., 0, 0] - r[..., 2, 2]
    k[..., 3, 3] = r[..., 2, 2] - r[..., 0, 0] - r[..., 1, 1]
    k[..., 0, 1] = k[..., 1, 0] = r[..., 2, 1] - r[..., 1, 2]
    k[..., 0, 2] = k[..., 2, 0] = r[..., 0, 2] - r[..., 2, 0]
    k[..., 0, 3] = k[..., 3, 0] = r[..., 1, 0] - r[..., 0, 1]
    k[..., 1, 2] = k[..., 2, 1] = r[..., 0, 1] + r[..., 1, 0]
    k[..., 1, 3] = k[..., 3, 1] = r[..., 0, 2] + r[..., 2, 0]
    k[..., 2, 3] = k[..., 3, 2] = r[..., 1, 2] + r[..., 2, 1]
    q = np.linalg.eigh(k / 3.0)[1][..., :, -1]
    return np.asarray(np.where(q[..., :1] < 0.0, -q, q))


def random(rng: np.random.Generator, n: int) -> Array:
    """``n`` rotations uniform over SO(3), (n, 4): normalised Gaussians."""
    return normalize(rng.standard_normal((n, 4)))


def to_xyzw(q: ArrayLike) -> Array:
    """w x y z to the x y z w order of ROS messages."""
    return np.roll(np.asarray(q, dtype=np.float64), -1, axis=-1)


def from_xyzw(q: ArrayLike) -> Array:
    """x y z w of ROS messages to our w x y z."""
    return np.roll(np.asarray(q, dtype=np.float64), 1, axis=-1)
