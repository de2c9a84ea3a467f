"""A virtual camera asked to fail from another process: through a socket that only its user may open."""

from __future__ import annotations

import re
import select
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.virtual.camera import VirtualCamera
from knuckle.hardware.virtual.camera_faults import CAMERA_FAULTS
from knuckle.hardware.virtual.control_socket import ControlServer, ask, default_socket

TURN_S = 0.05
_LINE = re.compile(
    r"(?P<verb>fault(?=\s+\w)|status(?=$)|clear)(\s+(?P<name>\w+))?"
    r"(\s+for\s+(?P<time>\d+(\.\d+)?)\s*(?P<unit>ms|s))?"
)


def camera_socket() -> Path:
    """Where a graph's virtual camera listens: beside the virtual servo bus."""
    return default_socket().with_name(default_socket().name.replace("servo_bus", "camera"))


class CameraControl:
    """Answers at ``path``: ``status``, ``fault NAME``, ``fault NAME for 2 s``, ``clear`` and ``clear NAME``.

    Raises DeviceError where another listens there.
    """

    def __init__(self, camera: VirtualCamera, path: Path) -> None:
        self._camera = camera
        self._server = ControlServer(path, self._answer)
        self._stopping = threading.Event()
        self._until: dict[str, float] = {}
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
            for name in [name for name, end in self._until.items() if end <= time.monotonic()]:
                del self._until[name]
                self._camera.clear(name)

    def _answer(self, line: str) -> dict[str, Any]:
        match = _LINE.fullmatch(line.strip())
        if match is None:
            right = f"status, clear, or fault with one of: {', '.join(CAMERA_FAULTS)}"
            raise InputError(f"'{line[:80]}'", where="virtual camera", right=right)
        name = match["name"] or ""
        if match["verb"] == "fault":
            self._camera.inject(name)
            self._until.pop(name, None)
            if match["time"]:
                self._until[name] = time.monotonic() + float(match["time"]) * (1e-3 if match["unit"] == "ms" else 1.0)
        elif match["verb"] == "clear":
            self._camera.clear(name)
            self._until = {key: end for key, end in self._until.items() if name and key != name}
        return {"virtual": True, "faults": sorted(self._camera.faults), "exposures": self._camera.exposures}


def camera_fault(words: Sequence[str], lasting: str, socket: Path | None) -> str:
    """Have ``words`` done, as `knuckle fault camera freeze --for 2s` or `camera:freeze` says them; what came of it.

    ``camera clear`` and ``camera status`` too. InputError for words that are none of these, DeviceError where no
    virtual camera listens: a real one has no socket.
    """
    asked = " ".join(words).replace(":", " ", 1).split()[1:] or ["status"]
    line = " ".join(asked if asked[0] in ("clear", "status") else ["fault", *asked])
    try:
        answer = ask(socket or camera_socket(), f"{line} for {lasting}" if lasting else line)
    except DeviceError as error:
        right = "faults are for virtual cameras: start one (camera.source=virtual)"
        raise DeviceError("no virtual camera answers", where=error.where, right=right) from None
    return f"camera: faults now: {', '.join(answer['faults']) or 'none'}; {answer['exposures']} exposures"
