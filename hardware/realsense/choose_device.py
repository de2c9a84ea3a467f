"""Which of the cameras that are there is meant, and whether it will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.realsense.settings import CameraSettings

WHERE = "camera"


@dataclass(frozen=True)
class DeviceFacts:
    """What a camera says of itself: name, serial number, and the USB version it runs at ("3.2"; empty: none)."""

    name: str
    serial: str
    usb: str


def choose(found: Sequence[DeviceFacts], settings: CameraSettings) -> int:
    """The index of the camera that ``settings`` mean.

    Raises DeviceError where none is connected, InputError where it is not one camera, not the wanted one, or on USB 2.
    """
    if not found:
        right = "plug a D415 or D435 into a USB 3 port; on Linux its udev rules must be installed"
        raise DeviceError("no RealSense camera is connected", where=WHERE, right=right)
    listed = ", ".join(f"{facts.serial} ({facts.name})" for facts in found)
    if settings.serial:
        fitting = [i for i, facts in enumerate(found) if facts.serial == settings.serial]
        if not fitting:
            raise InputError(f"no camera '{settings.serial}'", where=f"{WHERE}.serial", right=f"connected: {listed}")
    elif len(found) > 1:
        raise InputError(
            f"{len(found)} cameras are connected", where=WHERE, right=f"set camera.serial, one of: {listed}"
        )
    else:
        fitting = [0]
    facts = found[fitting[0]]
    wanted = settings.camera_model
    if wanted != "any" and wanted not in facts.name.lower():
        raise InputError(
            f"{facts.name}, not a {wanted.upper()}", where=f"{WHERE}.camera_model", right="any, or its name"
        )
    if facts.usb.startswith(("1", "2")):
        right = "a USB 3 port (blue) and a USB 3 cable, plugged in briskly; `lsusb -t` must say 5000M"
        raise InputError(f"{facts.name} {facts.serial} runs at USB {facts.usb}", where=WHERE, right=right)
    return fitting[0]
