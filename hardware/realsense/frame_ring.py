"""Frames from one process to another through shared memory without a name: nothing is left behind by any death.

A few slots are written in turn. Each frame carries its number before and after its contents, so that a reader who was
overtaken notices; every size is checked against the slot before a byte is copied. The first page also holds the
writer's heartbeat.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import DeviceError
from knuckle.hardware.spec.contracts import ColourImage, DepthFrame, Intrinsics
from knuckle.hardware.spec.mounts import OPTICAL_FRAME

COLOUR_FRAME = "camera_color_optical_frame"
SLOTS = 4
PAGE = 4096
MAGIC = 0x6B6E75636B6C6531
LARGEST_SIDE = 4096
LARGEST_SLOT = 64 * 1024 * 1024
DISTORTIONS = ("none", "plumb_bob", "inverse_brown_conrady", "modified_brown_conrady", "ftheta", "kannala_brandt4")

_VIEW = np.dtype(
    [
        ("width", "<u4"),
        ("height", "<u4"),
        ("fx", "<f8"),
        ("fy", "<f8"),
        ("cx", "<f8"),
        ("cy", "<f8"),
        ("distortion", "<u4"),
        ("coefficients", "<f8", (5,)),
    ]
)
_HEAD = np.dtype([("magic", "<u8"), ("heartbeat_ns", "<i8"), ("number", "<u8")])
_FRAME = np.dtype(
    [
        ("begin", "<u8"),
        ("counter", "<u8"),
        ("stamp_ns", "<i8"),
        ("device_ns", "<i8"),
        ("arrival_ns", "<i8"),
        ("scale_m", "<f8"),
        ("depth", _VIEW),
        ("colour", _VIEW),
        ("on_colour", "<u4"),
        ("one_view", "<u4"),
        ("position", "<f8", (3,)),
        ("quaternion", "<f8", (4,)),
        ("end", "<u8"),
    ]
)


class FrameRing:
    """``SLOTS`` frames of at most ``capacity`` bytes of pixels, in the memory behind ``fd`` (made where it is None)."""

    def __init__(self, capacity: int, fd: int | None = None) -> None:
        if not 0 < capacity <= LARGEST_SLOT:
            raise DeviceError(f"frames of {capacity} bytes", where="frame ring", right=f"at most {LARGEST_SLOT}")
        self.capacity = capacity
        self._stride = -(-(_FRAME.itemsize + capacity) // PAGE) * PAGE
        size = PAGE + SLOTS * self._stride
        self.fd = os.memfd_create("knuckle-camera") if fd is None else fd
        if fd is None:
            os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)
        self._head: Any = np.frombuffer(self._map, dtype=_HEAD, count=1)
        if fd is None:
            self._head["magic"] = MAGIC
        elif self._head["magic"][0] != MAGIC:
            raise DeviceError("the memory is not a frame ring", where="frame ring")

    def beat(self, now_ns: int) -> None:
        """The writer lives, at ``now_ns`` of the monotonic clock."""
        self._head["heartbeat_ns"] = now_ns

    @property
    def heartbeat_ns(self) -> int:
        """The writer's last heartbeat; 0 before the first."""
        return int(self._head["heartbeat_ns"][0])

    def write(self, frame: DepthFrame) -> int:
        """Put ``frame`` into the next slot; its number, from 1. DeviceError where it does not fit."""
        colour = frame.colour
        wanted = frame.depth.nbytes + (0 if colour is None else colour.pixels.nbytes)
        if wanted > self.capacity:
            raise DeviceError(f"a frame of {wanted} bytes", where="frame ring", right=f"at most {self.capacity}")
        number = int(self._head["number"][0]) + 1
        fields, pixels = self._slot(number)
        fields["begin"], fields["end"] = number, 0
        for name in ("counter", "stamp_ns", "device_ns", "arrival_ns", "scale_m"):
            fields[name] = getattr(frame, name)
        _put_view(fields["depth"], frame.intrinsics)
        fields["on_colour"] = frame.frame == COLOUR_FRAME
        pixels[: frame.depth.nbytes] = frame.depth.reshape(-1).view(np.uint8)
        fields["colour"]["width"] = fields["colour"]["height"] = 0
        if colour is not None:
            _put_view(fields["colour"], colour.intrinsics)
            fields["one_view"] = colour.frame == frame.frame
            fields["position"], fields["quaternion"] = colour.position, colour.quaternion
            pixels[frame.depth.nbytes : wanted] = colour.pixels.reshape(-1)
        fields["end"] = number
        self._head["number"] = number
        return number

    def read(self, number: int) -> DepthFrame | None:
        """A copy of frame ``number``; None where the writer has overtaken us. DeviceError where it is malformed."""
        fields, pixels = self._slot(number)
        head = fields.copy()
        depth, colour = head["depth"], head["colour"]
        n_depth, n_colour = 2 * _area(depth), 3 * _area(colour)
        if _area(depth) == 0 or n_depth + n_colour > self.capacity or not np.isfinite(head["scale_m"]):
            if int(head["begin"]) != number or int(head["end"]) != number:
                return None
            what = f"frame {number} says {depth['width']}x{depth['height']}, {colour['width']}x{colour['height']}"
            raise DeviceError(what, where="frame ring", right=f"at most {self.capacity} bytes")
        copy = pixels[: n_depth + n_colour].copy()
        after = self._slot(number)[0]
        if not int(head["begin"]) == int(head["end"]) == int(after["begin"]) == int(after["end"]) == number:
            return None
        return _frame_of(head, copy[:n_depth], copy[n_depth:])

    def close(self) -> None:
        """Give the memory back; what was read stays."""
        self._head = None
        self._map.close()
        os.close(self.fd)

    def _slot(self, number: int) -> tuple[Any, NDArray[np.uint8]]:
        at = PAGE + (number % SLOTS) * self._stride
        fields = np.frombuffer(self._map, dtype=_FRAME, count=1, offset=at)[0]
        pixels = np.frombuffer(self._map, dtype=np.uint8, count=self.capacity, offset=at + _FRAME.itemsize)
        return fields, pixels


def _area(view: Any) -> int:
    """Pixels of a view; 0 where a side is beyond reason."""
    width, height = int(view["width"]), int(view["height"])
    return width * height if max(width, height) <= LARGEST_SIDE else 0


def _put_view(view: Any, k: Intrinsics) -> None:
    for name in ("width", "height", "fx", "fy", "cx", "cy"):
        view[name] = getattr(k, name)
    view["distortion"] = DISTORTIONS.index(k.distortion)
    view["coefficients"] = (*k.coefficients, *(0.0,) * (5 - len(k.coefficients)))


def _view_of(view: Any) -> Intrinsics:
    index = int(view["distortion"])
    if index >= len(DISTORTIONS):
        raise DeviceError(f"distortion {index}", where="frame ring", right=f"below {len(DISTORTIONS)}")
    coefficients = tuple(float(v) for v in view["coefficients"]) if index else ()
    fx, fy, cx, cy = (float(view[name]) for name in ("fx", "fy", "cx", "cy"))
    return Intrinsics(int(view["width"]), int(view["height"]), fx, fy, cx, cy, DISTORTIONS[index], coefficients)


def _frame_of(head: Any, depth: NDArray[np.uint8], colour: NDArray[np.uint8]) -> DepthFrame:
    k, image = _view_of(head["depth"]), None
    name = COLOUR_FRAME if head["on_colour"] else OPTICAL_FRAME
    if len(colour):
        c = _view_of(head["colour"])
        x, y, z = (float(v) for v in head["position"])
        qw, qx, qy, qz = (float(v) for v in head["quaternion"])
        shaped = colour.reshape(c.height, c.width, 3)
        image = ColourImage(shaped, c, name if head["one_view"] else COLOUR_FRAME, (x, y, z), (qw, qx, qy, qz))
    return DepthFrame(
        stamp_ns=int(head["stamp_ns"]),
        counter=int(head["counter"]),
        depth=depth.view(np.uint16).reshape(k.height, k.width),
        scale_m=float(head["scale_m"]),
        intrinsics=k,
        frame=name,
        device_ns=int(head["device_ns"]),
        arrival_ns=int(head["arrival_ns"]),
        colour=image,
    )
