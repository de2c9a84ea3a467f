"""The virtual camera, on the driver's side: shows what a FrameSource renders, and fails on demand.

Its frames go to the camera's process and into the library's own software device there, so that the driver's lines are
those of a real camera, up to the USB.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

from knuckle.core.errors import InputError
from knuckle.hardware.realsense.frame_ring import FrameRing
from knuckle.hardware.realsense.link import CameraLink, link_pair
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.spec.contracts import DepthFrame, FrameSource
from knuckle.hardware.virtual.camera_faults import check_fault

SERIAL = "virtual"


class VirtualCamera:
    """Exposes what ``source`` renders whenever asked to. Calls may come from any thread."""

    def __init__(self, source: FrameSource, *, name: str = "Intel RealSense D415", usb: str = "3.2") -> None:
        self._source = source
        self._name, self._usb = name, usb
        self._faults: set[str] = set()
        self._lock = threading.Lock()
        self._ring: FrameRing | None = None
        self._link: CameraLink | None = None
        self._seen: DepthFrame | None = None
        self.exposures = 0

    @property
    def faults(self) -> frozenset[str]:
        """The faults that it has now."""
        with self._lock:
            return frozenset(self._faults)

    def inject(self, fault: str) -> None:
        """Have ``fault`` from now on; InputError for an unknown one."""
        self._change(self._faults | {check_fault(fault)})

    def clear(self, fault: str = "") -> None:
        """Be well again, or be rid of ``fault`` alone."""
        self._change(self._faults - {check_fault(fault)} if fault else set())

    def expose(self) -> DepthFrame:
        """Render, show and return the frame, as it was before the camera."""
        frame = self._source.render()
        self.show(frame)
        return frame

    def show(self, frame: DepthFrame) -> None:
        """Show a frame that was rendered elsewhere."""
        with self._lock:
            self._seen = frame
            self.exposures += 1
            if self._ring is not None and self._link is not None:
                self._link.send("exposed", number=self._ring.write(frame))

    def plug(self, settings: CameraSettings) -> tuple[dict[str, Any], list[int]]:
        """Be connected to a new process: what it must be told, and the descriptors that it must inherit.

        InputError where what is rendered has not the size of the stream that ``settings`` ask for.
        """
        frame = self._seen if self._seen is not None else self._source.render()
        self._check(frame, settings)
        pixels = frame.depth.nbytes + (0 if frame.colour is None else frame.colour.pixels.nbytes)
        ours, theirs = link_pair()
        with self._lock:
            self._unplug()
            self._ring, self._link = FrameRing(pixels), ours
            told: dict[str, Any] = {
                "ring": self._ring.fd,
                "capacity": pixels,
                "link": theirs.detach(),
                "name": self._name,
                "serial": SERIAL,
                "usb": self._usb,
                "scale_m": frame.scale_m,
                "depth": dataclasses.asdict(frame.intrinsics),
                "colour": None,
                "faults": sorted(self._faults),
            }
            if frame.colour is not None:
                told["colour"] = dataclasses.asdict(frame.colour.intrinsics)
                told["position"], told["quaternion"] = frame.colour.position, frame.colour.quaternion
        return told, [told["ring"], told["link"]]

    def close(self) -> None:
        """Be connected to nothing."""
        with self._lock:
            self._unplug()

    def _check(self, frame: DepthFrame, settings: CameraSettings) -> None:
        size = (frame.intrinsics.width, frame.intrinsics.height)
        if size != settings.depth_size:
            right = f"render {settings.stream_mode}"
            raise InputError(f"the virtual camera shows {size[0]}x{size[1]}", where="camera.stream_mode", right=right)
        if settings.colour and frame.colour is None:
            raise InputError("what the virtual camera shows has no colour", where="camera.colour", right="false")

    def _change(self, faults: set[str]) -> None:
        with self._lock:
            self._faults = set(faults)
            if self._link is not None:
                self._link.send("faults", names=sorted(self._faults))

    def _unplug(self) -> None:
        if self._ring is not None:
            self._ring.close()
        if self._link is not None:
            self._link.close()
        self._ring = self._link = None
