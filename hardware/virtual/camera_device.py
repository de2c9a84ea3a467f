"""The virtual camera, in the camera's process: the library's own software device, fed by the driver's side.

The device's clock starts at its first frame, as that of a camera starts when it is plugged in.
"""

from __future__ import annotations

import ctypes
import socket
import threading
from collections import deque
from typing import Any

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.realsense.choose_device import DeviceFacts, choose
from knuckle.hardware.realsense.frame_ring import FrameRing
from knuckle.hardware.realsense.link import GONE, CameraLink
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.virtual.camera_faults import LATE_NS, REOPENING

TURN_S = 0.1
WRONG_FOCAL = 1.25


class VirtualDevice:
    """A DeviceSource over the library's software device."""

    def __init__(self, rs: Any, settings: CameraSettings, told: dict[str, Any]) -> None:
        self._rs = rs
        self._told = told
        self._ring = FrameRing(told["capacity"], told["ring"])
        self._link = CameraLink(socket.socket(fileno=told["link"]))
        self._faults = self._opened_with = frozenset(told["faults"])
        self.facts = DeviceFacts(told["name"], told["serial"], told["usb"])
        choose([] if "unplug" in self._faults else [self.facts], settings)
        self._first_ns: int | None = None
        self._counter = self._owed = 0
        self._held: deque[DepthFrame] = deque()
        self._frozen: DepthFrame | None = None
        self._stopping = threading.Event()
        self._feeder = threading.Thread(target=self._feed, name="virtual-usb")
        self.device: Any = rs.software_device()
        self._depth: Any = None
        self._colour: Any = None
        self._build(settings)

    def stamp(self, device_ns: int, arrival_ns: int) -> int:
        """The stamp that the source gave the frame: its clock is ours."""
        return (self._first_ns or 0) + device_ns

    def started(self) -> None:
        """Frames come from now on."""
        self._feeder.start()

    def connected(self) -> bool:
        """Whether nobody has unplugged it, or changed what only another opening shows."""
        if "hang" in self._faults:
            # A call into a library that keeps the interpreter's lock and never comes back.
            ctypes.PyDLL(None).pause()
        return "unplug" not in self._faults and self._faults & REOPENING == self._opened_with & REOPENING

    def owing(self) -> bool:
        """Whether something was exposed since the last frame: a world that stands still shows nothing."""
        return self._owed > 0

    def ended(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """End the thread that feeds it."""
        self._stopping.set()
        if self._feeder.ident is not None:
            self._feeder.join()
        self._depth = self._colour = self.device = None

    def _build(self, settings: CameraSettings) -> None:
        rs, told = self._rs, self._told
        for key in ("name", "serial_number", "usb_type_descriptor"):
            self.device.register_info(getattr(rs.camera_info, key), told[key.split("_")[0]])
        form = rs.format.y16 if "encoding" in self._faults else rs.format.z16
        self._depth = self.device.add_sensor("Stereo Module")
        self._depth.add_read_only_option(rs.option.depth_units, told["scale_m"])
        depth = self._depth.add_video_stream(self._stream(rs.stream.depth, 0, told["depth"], 2, form, settings.fps))
        self._depth_profile = depth.as_video_stream_profile()
        if told["colour"] is not None:
            self._colour = self.device.add_sensor("RGB Camera")
            stream = self._stream(rs.stream.color, 1, told["colour"], 3, rs.format.rgb8, settings.fps)
            self._colour_profile = self._colour.add_video_stream(stream).as_video_stream_profile()
            pose = rs.extrinsics()
            # Ours places the colour camera in the depth camera; the library's brings colour's points into depth's.
            pose.rotation = rotations.to_matrix(told["quaternion"]).T.reshape(-1).tolist()
            pose.translation = list(told["position"])
            self._colour_profile.register_extrinsics_to(self._depth_profile, pose)

    def _stream(self, kind: Any, uid: int, view: dict[str, Any], size: int, form: Any, fps: int) -> Any:
        stream = self._rs.video_stream()
        stream.type, stream.index, stream.uid, stream.fps = kind, 0, uid, fps
        stream.width, stream.height, stream.bpp, stream.fmt = view["width"], view["height"], size, form
        k = self._rs.intrinsics()
        wrong = WRONG_FOCAL if "intrinsics" in self._faults else 1.0
        k.width, k.height, k.fx, k.fy = view["width"], view["height"], wrong * view["fx"], wrong * view["fy"]
        k.ppx, k.ppy = view["cx"], view["cy"]
        k.model, k.coeffs = self._rs.distortion.brown_conrady, [*view["coefficients"], 0.0, 0.0, 0.0, 0.0, 0.0][:5]
        stream.intrinsics = k
        return stream

    def _feed(self) -> None:
        while not self._stopping.is_set():
            message = self._link.receive(TURN_S)
            if message == GONE:
                return
            if message is None:
                continue
            if message[0] == "faults":
                self._faults = frozenset(message[1]["names"])
            else:
                frame = self._ring.read(message[1]["number"])
                if frame is not None and "unplug" not in self._faults:
                    self._expose(frame)

    def _expose(self, frame: DepthFrame) -> None:
        """What reaches the library, and when, of an exposure."""
        self._owed += 1
        if "late" not in self._faults:
            self._held.clear()
            self._deliver(frame)
            return
        self._held.append(frame)
        while self._held and frame.stamp_ns - self._held[0].stamp_ns >= LATE_NS:
            self._deliver(self._held.popleft())

    def _deliver(self, frame: DepthFrame) -> None:
        if "freeze" not in self._faults:
            self._frozen = None
        elif self._frozen is None:
            self._frozen = frame
        shown = self._frozen or frame
        if self._first_ns is None:
            self._first_ns = frame.stamp_ns
        self._counter += 1
        self._owed = 0
        milliseconds = (frame.stamp_ns - self._first_ns) * 1e-6
        depth = np.zeros_like(shown.depth) if "zero" in self._faults else shown.depth
        # Depth last: it is what the driver waits for, and its colour is then there however busy the machine is.
        if self._colour is not None and shown.colour is not None:
            self._send(self._colour, self._colour_profile, shown.colour.pixels, 3, milliseconds)
        self._send(self._depth, self._depth_profile, depth, 2, milliseconds)

    def _send(self, sensor: Any, profile: Any, pixels: Any, size: int, milliseconds: float) -> None:
        frame = self._rs.software_video_frame()
        frame.profile, frame.pixels, frame.bpp, frame.stride = profile, pixels, size, pixels.shape[1] * size
        frame.timestamp, frame.domain = milliseconds, self._rs.timestamp_domain.hardware_clock
        frame.frame_number = self._counter
        if size == 2:
            frame.depth_units = self._told["scale_m"]
        sensor.on_video_frame(frame)
