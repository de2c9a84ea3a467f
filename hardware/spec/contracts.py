"""The contracts between drivers and the rest. Times are integer nanoseconds of one monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Quat, Vec3

SILENT = 1 << 8
"""Bit of ``HandState.error``: the servo does not answer; its values are the last that were read."""
REBOOTED = 1 << 9
"""Bit of ``HandState.error``: the servo lost its torque or its settings; it stays set until ``recover``."""


@dataclass(frozen=True)
class HandState:
    """One reading of a hand, arrays (dof,) in the spec's joint order.

    ``q`` rad, ``dq`` rad/s, ``effort`` N m, ``temperature`` degrees Celsius (NaN where not measured), ``error`` the
    servo's own hardware error byte with the driver's SILENT and REBOOTED above it (0: none). ``seq`` grows by one a
    reading.
    """

    stamp_ns: int
    seq: int
    q: Array
    dq: Array
    effort: Array
    temperature: Array
    error: NDArray[np.int32]


@dataclass(frozen=True)
class HandCommand:
    """Joint targets ``q`` (dof,) in rad, decided on at ``stamp_ns`` and void after ``valid_until_ns``."""

    stamp_ns: int
    valid_until_ns: int
    q: Array


@runtime_checkable
class Hand(Protocol):
    """A hand that can be read and commanded. No call blocks longer than one cycle."""

    @property
    def spec(self) -> HandSpec:
        """What hand this is."""
        ...

    def read(self) -> HandState:
        """The newest state. Raises DeviceError when the hand does not answer."""
        ...

    def send(self, command: HandCommand) -> HandCommand:
        """Write targets and return what was really sent. Raises CommandRefused where nothing was written."""
        ...

    def arm(self) -> None:
        """Torque on, holding the measured posture."""
        ...

    def hold(self) -> None:
        """Keep the present posture; targets are no longer followed."""
        ...

    def release(self) -> None:
        """Torque off."""
        ...

    def limit_effort(self, limit: Array) -> None:
        """Bound each joint's torque from now on, (dof,), N m, at most the spec's own limit.

        0 takes the torque off that joint alone. No limit turns torque on: ``arm`` does, for joints whose limit is above
        0, and ``hold`` for none. Raises DeviceError where it cannot be bounded.
        """
        ...

    def recover(self) -> None:
        """Begin to make servos that were lost fit to be armed again, on an operator's word: set up anew, homed.

        Returns at once like every call; the bits of ``HandState.error`` go when it is done. Nothing moves, and no
        target from before is followed afterwards. Raises DeviceError where it cannot begin.
        """
        ...


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, pixels: pixel centres at integer coordinates.

    ``distortion`` names the lens model as the camera's maker does ("none" for a rectified image, which is all that
    perception takes), ``coefficients`` are its k1 k2 p1 p2 k3.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: str = "none"
    coefficients: tuple[float, ...] = ()


@dataclass(frozen=True)
class Extrinsics:
    """The pose of a camera's optical frame (z forward, x right, y down) in hand_base: metres, w x y z."""

    position: Vec3
    quaternion: Quat

    def to_base(self, points: Array) -> Array:
        """Optical-frame points (..., 3) in hand_base."""
        return np.asarray(rotations.rotate(np.array(self.quaternion), points) + np.array(self.position))


@dataclass(frozen=True)
class ColourImage:
    """The colour image taken with a depth image: ``pixels`` (height, width, 3) uint8, red green blue.

    ``position`` m and ``quaternion`` w x y z are the pose of its optical frame in the depth image's optical frame.
    """

    pixels: NDArray[np.uint8]
    intrinsics: Intrinsics
    frame: str
    position: Vec3
    quaternion: Quat


@dataclass(frozen=True)
class DepthFrame:
    """One depth image: ``depth`` (height, width) uint16, metres = depth * scale_m, 0 where nothing was measured.

    ``counter`` is the device's own count of frames. ``stamp_ns`` is the exposure on our clock, ``device_ns`` the same
    on the device's, and ``arrival_ns`` when the host had it, on our clock; both are 0 for a camera that has no clock of
    its own and no way to go. ``colour`` is None where the camera has none, or it is not asked for.
    """

    stamp_ns: int
    counter: int
    depth: NDArray[np.uint16]
    scale_m: float
    intrinsics: Intrinsics
    frame: str
    device_ns: int = 0
    arrival_ns: int = 0
    colour: ColourImage | None = None


@runtime_checkable
class DepthCamera(Protocol):
    """A camera that yields depth frames."""

    def read(self, timeout_s: float) -> DepthFrame:
        """The next frame, within ``timeout_s`` seconds; DeviceError when none comes."""
        ...


class Plant(Protocol):
    """What a virtual servo bus drives: joints that answer targets (a simulated world, or a test's own).

    Arrays are (dof,), in the spec's joint order. The servo's own loop, with its gains, is the plant's.
    """

    def joint_state(self) -> tuple[Array, Array, Array]:
        """q rad, dq rad/s, effort N m."""
        ...

    def set_target(self, q: Array) -> None:
        """Position targets, rad."""
        ...

    def set_torque(self, on: NDArray[np.bool_]) -> None:
        """Which joints are driven; the others move freely."""
        ...

    def set_effort_limit(self, effort: Array) -> None:
        """The largest effort the servos may use now, N m: what current limit and goal current allow."""
        ...

    def advance(self, to_ns: int) -> None:
        """Let time pass until ``to_ns``; nothing where the world moves on by itself."""
        ...


class FrameSource(Protocol):
    """What a virtual camera shows."""

    def render(self) -> DepthFrame:
        """The scene as it is now."""
        ...
