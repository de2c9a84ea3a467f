"""Where a device comes from: a camera on the bus, a recording, or a virtual camera. After that all are alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from knuckle.core.errors import RecordingError
from knuckle.hardware.realsense.choose_device import DeviceFacts, choose
from knuckle.hardware.realsense.device_clock import DeviceClock
from knuckle.hardware.realsense.playback_file import check_recording
from knuckle.hardware.realsense.settings import CameraSettings


class DeviceSource(Protocol):
    """An opened device of the library."""

    device: Any
    facts: DeviceFacts

    def stamp(self, device_ns: int, arrival_ns: int) -> int:
        """The exposure on our clock."""
        ...

    def started(self) -> None:
        """The streams run."""
        ...

    def connected(self) -> bool:
        """Whether it is still there."""
        ...

    def owing(self) -> bool:
        """Whether a frame should have come, so that silence is a fault."""
        ...

    def ended(self) -> bool:
        """Whether it has nothing more to give, as a recording at its end."""
        ...

    def close(self) -> None:
        """Let it go; its streams were stopped before."""
        ...


class LiveDevice:
    """The camera that ``settings`` mean; raises as ``choose`` does."""

    def __init__(self, rs: Any, settings: CameraSettings) -> None:
        self._context = rs.context()
        devices = list(self._context.query_devices())
        found = [facts_of(rs, device) for device in devices]
        index = choose(found, settings)
        self.device, self.facts = devices[index], found[index]
        self.stamp = DeviceClock().stamp

    def started(self) -> None:
        """It exposes by itself."""

    def connected(self) -> bool:
        """Whether the library still sees it."""
        return bool(self.device.is_connected())

    def owing(self) -> bool:
        """Always: it exposes by itself."""
        return True

    def ended(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """The library lets go of it with its last reference."""
        self.device = None


class RecordedDevice:
    """A recording, played at the pace at which it was made; RecordingError where it is none, or cut short."""

    def __init__(self, rs: Any, settings: CameraSettings) -> None:
        path = Path(settings.playback)
        check_recording(path)
        self._stopped = rs.playback_status.stopped
        self._begun = False
        self._context = rs.context()
        try:
            self.device = self._context.load_device(str(path))
        except RuntimeError as error:
            right = "a .db3 or .bag recorded by librealsense, whole"
            raise RecordingError(f"the library cannot play it: {error}", where=str(path), right=right) from None
        self._playback = self.device.as_playback()
        self._playback.set_real_time(True)
        self.facts = facts_of(rs, self.device)
        self.stamp = DeviceClock().stamp

    def started(self) -> None:
        """It plays."""
        self._begun = True

    def connected(self) -> bool:
        """A file does not go away."""
        return True

    def owing(self) -> bool:
        """Until its end."""
        return not self.ended()

    def ended(self) -> bool:
        """Whether its last frame was given."""
        return self._begun and self._playback.current_status() == self._stopped

    def close(self) -> None:
        """Close the file."""
        self._playback = self.device = None


def facts_of(rs: Any, device: Any) -> DeviceFacts:
    """What the device says of itself; empty where it says nothing."""

    def info(key: Any) -> str:
        return str(device.get_info(key)) if device.supports(key) else ""

    keys = rs.camera_info
    return DeviceFacts(info(keys.name), info(keys.serial_number), info(keys.usb_type_descriptor))
