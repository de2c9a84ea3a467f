"""One life of the camera's process as the driver sees it: its start, its frames, its end."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from knuckle.core.errors import DeviceError, InputError, KnuckleError
from knuckle.hardware.realsense.frame_ring import FrameRing
from knuckle.hardware.realsense.link import ENVIRONMENT, GONE, Message, link_pair
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.virtual.camera import VirtualCamera

END_S = 2.0


class CameraChild:
    """The process, started at once. The thread that starts it must outlive it: the kernel ends it with that thread."""

    def __init__(self, settings: CameraSettings, virtual: VirtualCamera | None) -> None:
        self._settings = settings
        self._ring = FrameRing(settings.largest_frame)
        self._link, theirs = link_pair()
        told, fds = (None, []) if virtual is None else virtual.plug(settings)
        environment = {**os.environ, ENVIRONMENT: str(theirs.fileno())}
        environment.setdefault("OMP_NUM_THREADS", "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "knuckle.hardware.realsense.camera_process"],
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=(theirs.fileno(), self._ring.fd, *fds),
            start_new_session=True,
        )
        theirs.close()
        if told is not None:
            os.close(told["link"])
        self._link.send(
            "open",
            settings=dataclasses.asdict(settings),
            ring=self._ring.fd,
            capacity=self._ring.capacity,
            virtual=told,
        )
        self.pid = self._process.pid
        self.opened = False
        self.name = self.serial = ""
        self.unpaired = self.lost = 0
        self._number = 0
        self._began_ns = time.monotonic_ns()

    def next(self, timeout_s: float) -> DepthFrame | None:
        """The newest frame; None where none came.

        Raises what the process failed of, DeviceError where it died or was killed because it answered no more, and
        EOFError at the end of a recording.
        """
        message = self._link.receive(timeout_s)
        if message is None:
            self._check_pulse()
            return None
        if message == GONE:
            raise DeviceError(f"its process {self._last_words()}", where="camera", right="see what it printed above")
        verb, fields = message
        if verb == "frame":
            return self._frame(int(fields["number"]), int(fields["unpaired"]))
        if verb == "opened":
            self.opened, self.name, self.serial = True, fields["name"], fields["serial"]
            return None
        if verb == "ended":
            raise EOFError
        raise _error_of(message)

    def end(self) -> int:
        """Ask for its end, and kill it where it does not come; its exit code."""
        self._link.send("stop")
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._link.close()
        self._ring.close()
        return code

    def _frame(self, number: int, unpaired: int) -> DepthFrame | None:
        self.lost += number - self._number - 1
        self._number, self.unpaired = number, unpaired
        frame = self._ring.read(number)
        self.lost += frame is None
        return frame

    def _check_pulse(self) -> None:
        """Kill it where its heart stands still, or its camera does not open."""
        now_ns = time.monotonic_ns()
        since_ns = self._ring.heartbeat_ns if self.opened else self._began_ns
        limit_s = self._settings.hang_s if self.opened else self._settings.open_s
        if now_ns - since_ns <= 1e9 * limit_s:
            return
        self._process.kill()
        doing = "answered nothing" if self.opened else "did not open the camera"
        raise DeviceError(f"the library {doing} for {limit_s:g} s and was killed", where="camera", right="unplug it")

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(END_S)
            return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return "closed its link and lives on"


def _error_of(message: Message) -> KnuckleError:
    """The error that the process failed of, as its own class by its exit code."""
    verb, fields = message
    if verb != "failed":
        return DeviceError(f"its process says '{verb}'", where="camera", right="frame, opened, ended or failed")
    kind = InputError if fields["code"] == 2 else DeviceError
    return kind(str(fields["what"]), where=str(fields["where"]), right=str(fields["right"]))
