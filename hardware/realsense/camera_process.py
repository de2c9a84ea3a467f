"""The camera's process: opens the device, sends frames, and beats its heart; started and watched by the driver.

It imports the library and nothing of ROS. Where the library hangs, this process hangs with it and is killed: the kernel
also ends it when its parent dies.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import socket
import sys
import time
from typing import Any

from knuckle.core.errors import DeviceError, KnuckleError
from knuckle.hardware.realsense.capture import Capture
from knuckle.hardware.realsense.device_source import DeviceSource, LiveDevice, RecordedDevice
from knuckle.hardware.realsense.frame_ring import FrameRing
from knuckle.hardware.realsense.library import librealsense
from knuckle.hardware.realsense.link import ENVIRONMENT, GONE, CameraLink
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.virtual.camera_device import VirtualDevice

TURN_S = 0.02
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve one driver; the exit code: 0 where it asked for the end or the recording ended, 1 or 2 as errors have."""
    faulthandler.enable()
    # Ctrl-C goes to the whole terminal; the driver ends us in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    link = CameraLink(socket.socket(fileno=int(os.environ[ENVIRONMENT])))
    order = link.receive(10.0)
    if order is None or order[0] != "open":
        return 1
    try:
        _serve(link, order[1])
    except KnuckleError as error:
        link.send("failed", code=error.exit_code, what=error.what, where=error.where, right=error.right)
        return error.exit_code
    except RuntimeError as error:
        # What the library raises of itself.
        link.send("failed", code=1, what=f"librealsense: {error}", where="camera", right="")
        return 1
    return 0


def _serve(link: CameraLink, order: dict[str, Any]) -> None:
    settings = CameraSettings(**order["settings"])
    ring = FrameRing(order["capacity"], order["ring"])
    ring.beat(time.monotonic_ns())
    rs = librealsense()
    source = _source(rs, settings, order["virtual"])
    try:
        capture = Capture(rs, source.device, settings, source.stamp)
        try:
            source.started()
            facts = source.facts
            link.send("opened", name=facts.name, serial=facts.serial, usb=facts.usb)
            _stream(link, ring, source, capture, settings)
        finally:
            capture.close()
    finally:
        source.close()


def _source(rs: Any, settings: CameraSettings, virtual: dict[str, Any] | None) -> DeviceSource:
    if virtual is not None:
        return VirtualDevice(rs, settings, virtual)
    return RecordedDevice(rs, settings) if settings.playback else LiveDevice(rs, settings)


def _stream(
    link: CameraLink, ring: FrameRing, source: DeviceSource, capture: Capture, settings: CameraSettings
) -> None:
    """Frames until the driver asks for the end; DeviceError where the device is gone or gives nothing more."""
    last = time.monotonic()
    while True:
        now = time.monotonic()
        ring.beat(time.monotonic_ns())
        message = link.receive(0.0)
        if message is not None and (message == GONE or message[0] == "stop"):
            return
        if not source.connected():
            raise DeviceError("the camera was unplugged", where="camera", right="plug it in again")
        frame = capture.next(TURN_S)
        if frame is not None or not source.owing():
            last = now
        if frame is not None:
            link.send("frame", number=ring.write(frame), unpaired=capture.unpaired)
        elif source.ended():
            link.send("ended")
            return
        elif now - last > settings.silence_s:
            right = "check its cable and its power"
            raise DeviceError(f"no frame for {settings.silence_s:g} s", where="camera", right=right)


if __name__ == "__main__":
    sys.exit(main())
