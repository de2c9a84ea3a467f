"""A depth camera read in a thread of its own, and what is told of it: frames, and how the camera is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from knuckle.core.errors import DeviceError
from knuckle.hardware.realsense.driver import CameraStatus, RealSenseCamera
from knuckle.hardware.spec.contracts import DepthFrame

TURN_S = 0.1


class CameraReader:
    """Calls ``take`` with every frame of ``camera``, until closed; the camera is closed with it."""

    def __init__(self, camera: RealSenseCamera, take: Callable[[DepthFrame], None]) -> None:
        self.camera, self._take = camera, take
        self.failure: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera-reader")
        self._thread.start()

    def close(self) -> None:
        """End the thread, and the camera's process."""
        self._stopping.set()
        self._thread.join()
        self.camera.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                # The camera is waited for; how it is, its status says.
                with suppress(DeviceError):
                    self._take(self.camera.read(TURN_S))
                if self.camera.status().state in ("ended", "closed"):
                    self._stopping.wait(TURN_S)
        except Exception as error:
            # Raised again in the executor's thread.
            self.failure = error


def said_of(status: CameraStatus) -> str:
    """One line: how a camera is, and why."""
    name = f"{status.name} {status.serial}".strip()
    return f"{name or 'camera'} {status.state}{f': {status.problem}' if status.problem else ''}"
