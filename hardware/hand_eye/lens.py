"""Pixels to rays: what the lens did is undone, after which a camera is a pinhole of focal length one."""

from __future__ import annotations

import numpy as np

from knuckle.core.errors import InputError
from knuckle.hardware.spec.contracts import Intrinsics
from knuckle.hardware.spec.hand_spec import Array

ROUNDS = 20


def normalised(pixels: Array, k: Intrinsics) -> Array:
    """Image points (..., 2) in pixels as x/z and y/z of their rays; InputError for a lens that is not modelled.

    Brown and Conrady's polynomial goes from the ray to the image and is inverted by iteration; librealsense's inverse
    one goes from the image to the ray.
    """
    points = (np.asarray(pixels, dtype=np.float64) - (k.cx, k.cy)) / (k.fx, k.fy)
    if k.distortion == "none" or not any(k.coefficients):
        return points
    if k.distortion == "inverse_brown_conrady":
        return _bent(points, k.coefficients)
    if k.distortion != "plumb_bob":
        raise InputError(f"lens model '{k.distortion}'", where="camera", right="none, plumb_bob, inverse_brown_conrady")
    ray = points
    for _ in range(ROUNDS):
        ray = ray + points - _bent(ray, k.coefficients)
    return ray


def _bent(points: Array, coefficients: tuple[float, ...]) -> Array:
    k1, k2, p1, p2, k3 = coefficients
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bent_x = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
    bent_y = y * radial + 2.0 * p2 * x * y + p1 * (r2 + 2.0 * y * y)
    return np.stack([bent_x, bent_y], axis=-1)
