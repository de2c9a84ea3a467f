"""A depth image as it comes off the bus, and what must hold before it may be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import InputError
from knuckle.hardware.spec.contracts import DepthFrame, Intrinsics

ENCODINGS = ("16UC1", "mono16")
MILLIMETRE = 0.001


@dataclass(frozen=True)
class DepthImage:
    """The fields of a sensor_msgs/Image: ``height`` rows of ``step`` bytes, each ``width`` pixels and padding."""

    stamp_ns: int
    frame: str
    encoding: str
    width: int
    height: int
    step: int
    big_endian: bool
    data: bytes | memoryview


def depth_frame(image: DepthImage, intrinsics: Intrinsics, counter: int) -> DepthFrame:
    """The frame, its pixels a view into the image's own bytes where their order allows it.

    Raises InputError where the encoding is not 16UC1 in millimetres, the bytes do not match the size, the size is not
    that of the intrinsics, or every pixel is zero.
    """
    if image.encoding not in ENCODINGS:
        raise InputError(f"encoding '{image.encoding}'", where="depth image", right="16UC1, millimetres")
    if (image.width, image.height) != (intrinsics.width, intrinsics.height):
        right = f"{intrinsics.width}x{intrinsics.height} as in its camera_info"
        raise InputError(f"size {image.width}x{image.height}", where="depth image", right=right)
    if image.step < 2 * image.width or image.step % 2 or len(image.data) != image.step * image.height:
        right = f"{image.height} rows of at least {2 * image.width} bytes"
        raise InputError(f"{len(image.data)} bytes in rows of {image.step}", where="depth image", right=right)
    kind = np.dtype(">u2" if image.big_endian else "<u2")
    rows = np.frombuffer(image.data, dtype=kind).reshape(image.height, image.step // 2)
    depth = rows[:, : image.width].astype(np.uint16, copy=False)
    if not depth.any():
        raise InputError("every pixel is zero", where="depth image", right="an image in which something was measured")
    return DepthFrame(image.stamp_ns, counter, depth, MILLIMETRE, intrinsics, image.frame)


def intrinsics_of(width: int, height: int, k: Sequence[float], p: Sequence[float]) -> Intrinsics:
    """The pinhole of a rectified image from a camera_info's ``p`` (3x4, row by row), or ``k`` (3x3) where p is zero.

    Raises InputError where the focal lengths are not positive and finite.
    """
    fx, fy, cx, cy = (p[0], p[5], p[2], p[6]) if p[0] else (k[0], k[4], k[2], k[5])
    values = np.array([fx, fy, cx, cy], dtype=np.float64)
    if not np.isfinite(values).all() or min(fx, fy) <= 0.0:
        right = "positive focal lengths and a finite principal point"
        raise InputError(f"fx fy cx cy = {values.round(3).tolist()}", where="camera_info", right=right)
    return Intrinsics(int(width), int(height), float(fx), float(fy), float(cx), float(cy))
