"""Boxes in an image, (..., 4): centre x, centre y, width, height in px; overlap, and which are usable at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

FAR_PX = 1e6


def from_corner(boxes: ArrayLike) -> Array:
    """Left, top, width, height to centre, width, height."""
    out = np.array(boxes, dtype=np.float64)
    out[..., :2] += 0.5 * out[..., 2:]
    return out


def from_corners(boxes: ArrayLike) -> Array:
    """Left, top, right, bottom to centre, width, height."""
    given = np.asarray(boxes, dtype=np.float64)
    low, high = given[..., :2], given[..., 2:]
    return np.concatenate([0.5 * (low + high), high - low], axis=-1)


def to_corners(boxes: Array) -> Array:
    """Centre, width, height to left, top, right, bottom."""
    half = 0.5 * boxes[..., 2:]
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def usable(boxes: Array) -> Flags:
    """Which of ``boxes`` (M, 4) are finite, within a million px, and have a width and a height above zero."""
    finite = np.isfinite(boxes).all(axis=-1)
    with np.errstate(invalid="ignore"):
        near = (np.abs(boxes) < FAR_PX).all(axis=-1)
        return np.asarray(finite & near & (boxes[..., 2:] > 0.0).all(axis=-1))


def iou(a: Array, b: Array) -> Array:
    """Intersection over union of every box of ``a`` (N, 4) with every box of ``b`` (M, 4): (N, M)."""
    ca, cb = to_corners(a), to_corners(b)
    low = np.maximum(ca[:, None, :2], cb[None, :, :2])
    high = np.minimum(ca[:, None, 2:], cb[None, :, 2:])
    side = np.maximum(high - low, 0.0)
    shared = side[..., 0] * side[..., 1]
    whole = (a[:, 2] * a[:, 3])[:, None] + (b[:, 2] * b[:, 3])[None, :] - shared
    return np.asarray(shared / np.maximum(whole, 1e-12))
