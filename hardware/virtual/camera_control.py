"""A virtual camera asked to fail from another process: through a socket that only its user may open."""

from __future__ import annotations

import select
import threading
from pathlib import Path
from typing import Any

from knuckle.core.errors import InputError
from knuckle.hardware.virtual.camera import VirtualCamera
from knuckle.hardware.virtual.camera_faults import CAMERA_FAULTS
from knuckle.hardware.virtual.control_socket import ControlServer, default_socket

TURN_S = 0.1


def camera_socket() -> Path:
    """Where a graph's virtual camera listens: beside the virtual servo bus."""
    return default_socket().with_name(default_socket().name.replace("servo_bus", "camera"))


class CameraControl:
    """Answers at ``path``: ``status``, ``fault NAME``, ``clear`` and ``clear NAME``. DeviceError as ControlServer."""

    def __init__(self, camera: VirtualCamera, path: Path) -> None:
        self._camera = camera
        self._server = ControlServer(path, self._answer)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera-control")
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stopping.set()
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._server.serve(select.select(self._server.descriptors(), [], [], TURN_S)[0])

    def _answer(self, line: str) -> dict[str, Any]:
        verb, *names = line.split()[:2] or [""]
        if verb == "fault" and names:
            self._camera.inject(names[0])
        elif verb == "clear":
            self._camera.clear(*names)
        elif verb != "status":
            right = f"status, clear, or fault with one of: {', '.join(CAMERA_FAULTS)}"
            raise InputError(f"'{line[:80]}'", where="virtual camera", right=right)
        return {"virtual": True, "faults": sorted(self._camera.faults), "exposures": self._camera.exposures}
