"""What a camera is calibrated with: a camera that sees colour, and the hand under it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from knuckle.hardware.realsense.driver import RealSenseCamera
from knuckle.hardware.spec.contracts import Extrinsics, Hand
from knuckle.hardware.spec.hand_spec import HandSpec

OpenedHand = tuple[Hand, Callable[[], int], Callable[[int], None]]
"""The raw hand, the clock of its stamps in ns, and what lets time pass until a moment of it."""


class Stage(Protocol):
    """Where a session is held."""

    @property
    def camera(self) -> RealSenseCamera:
        """The camera, open."""
        ...

    @property
    def truth(self) -> Extrinsics | None:
        """Where the depth camera really stands, which only a rehearsal knows."""
        ...

    def hand(self) -> AbstractContextManager[OpenedHand]:
        """The hand, opened, and closed at the end with its torque off. Raises DeviceError and InputError."""
        ...

    def expose(self) -> bool:
        """Make the camera take an image now; False where it takes them by itself."""
        ...


class RealStage:
    """A RealSense over the hand at ``port``. Raises what the camera's opening raises; to be closed."""

    truth = None

    def __init__(self, spec: HandSpec, camera: RealSenseCamera, port: str, calibration: str) -> None:
        self.camera = camera
        self._spec, self._port, self._calibration = spec, port, calibration

    @contextlib.contextmanager
    def hand(self) -> Iterator[OpenedHand]:
        """The hand at its port, in the machine's time."""
        from knuckle.hardware.calibrate_commands import servo_port
        from knuckle.hardware.dynamixel.open_hand import open_hand

        with servo_port(self._port, self._spec.name) as path:
            raw = open_hand(self._spec, path, calibration=Path(self._calibration) if self._calibration else None)
            try:
                yield raw, time.monotonic_ns, _sleep_until
            finally:
                raw.close()

    def expose(self) -> bool:
        """It takes images by itself."""
        return False


def _sleep_until(to_ns: int) -> None:
    time.sleep(max(0.0, (to_ns - time.monotonic_ns()) * 1e-9))
