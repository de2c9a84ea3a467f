"""From an opened device of the library to our frames: streams, pairing, alignment, filters, stamps.

The same lines run for a camera, a recording and the library's own software device: they differ by how the device came.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from knuckle.core import rotations
from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.realsense.filters import FilterChain
from knuckle.hardware.realsense.frame_ring import COLOUR_FRAME, DISTORTIONS
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.spec.contracts import ColourImage, DepthFrame, Intrinsics
from knuckle.hardware.spec.mounts import OPTICAL_FRAME

QUEUE = 4
COLOUR_WAIT_MS = 15

Stamp = Callable[[int, int], int]
"""(device ns, arrival ns) to the exposure on our clock."""

_MODELS = {"brown_conrady": "plumb_bob", "none": "none"}


class Capture:
    """Streams of ``device`` as ``settings`` ask; ``stamp`` tells the device's time on our clock.

    Raises InputError where the device does not offer the streams.
    """

    def __init__(self, rs: Any, device: Any, settings: CameraSettings, stamp: Stamp) -> None:
        self._rs, self._settings, self._stamp = rs, settings, stamp
        self._sensors: list[Any] = []
        self._depth_queue, self._colour_queue = rs.frame_queue(QUEUE), rs.frame_queue(QUEUE)
        self._pair: list[Any] = []
        self._composer = rs.processing_block(self._compose)
        self._composed = rs.frame_queue(1)
        self._composer.start(self._composed)
        self._filters = FilterChain(rs, settings)
        target = rs.stream.color if settings.align == "depth to colour" else rs.stream.depth
        self._align = rs.align(target) if settings.align != "none" else None
        self._frame = COLOUR_FRAME if settings.align == "depth to colour" else OPTICAL_FRAME
        self._waiting: Any = None
        self.unpaired = 0
        try:
            self._open(device)
        except BaseException:
            self.close()
            raise

    def next(self, timeout_s: float) -> DepthFrame | None:
        """The next frame; None where none came. With colour, depth that no colour image goes with is counted."""
        got, depth = self._depth_queue.try_wait_for_frame(max(1, round(1e3 * timeout_s)))
        if not got:
            return None
        arrival_ns = time.monotonic_ns()
        colour = None
        if self._settings.colour:
            colour = self._colour_of(depth)
            if colour is None:
                self.unpaired += 1
                return None
        device_ns, counter = round(1e6 * depth.get_timestamp()), int(depth.get_frame_number())
        stamp_ns = self._stamp(device_ns, arrival_ns)
        if self._align is not None:
            depth, colour = self._aligned(depth, colour)
        depth = self._filters.process(depth)
        k = decimated(intrinsics_of(depth.profile), self._settings.decimation)
        return DepthFrame(
            stamp_ns=stamp_ns,
            counter=counter,
            depth=np.asarray(depth.get_data(), dtype=np.uint16),
            # Float32 in the library: 0.001 comes as 0.0010000000475.
            scale_m=round(float(depth.get_units()), 9),
            intrinsics=k,
            frame=self._frame,
            device_ns=device_ns,
            arrival_ns=arrival_ns,
            colour=self._colour_image(depth, colour),
        )

    def close(self) -> None:
        """Stop what was started."""
        for sensor in self._sensors:
            sensor.stop()
            sensor.close()
        self._sensors.clear()

    def _open(self, device: Any) -> None:
        rs, s = self._rs, self._settings
        wanted = [(rs.stream.depth, rs.format.z16, s.depth_size, self._depth_queue)]
        if s.colour:
            wanted.append((rs.stream.color, rs.format.rgb8, s.colour_size, self._colour_queue))
        for stream, form, size, queue in wanted:
            sensor, profile = self._find(device, stream, form, size)
            sensor.open(profile)
            sensor.start(queue)
            self._sensors.append(sensor)

    def _find(self, device: Any, stream: Any, form: Any, size: tuple[int, int]) -> tuple[Any, Any]:
        """The sensor and its profile; a recording has what it has, so there only stream and format are asked for."""
        offered = []
        for sensor in device.query_sensors():
            for profile in sensor.get_stream_profiles():
                if profile.stream_type() != stream or not profile.is_video_stream_profile():
                    continue
                video = profile.as_video_stream_profile()
                name = profile.format().name
                offered.append(f"{video.width()}x{video.height()} {name} {profile.fps()} Hz")
                same = (video.width(), video.height()) == size and profile.fps() == self._settings.fps
                if profile.format() == form and (same or self._settings.playback):
                    return sensor, profile
        what = f"no {stream.name} stream {size[0]}x{size[1]} {form.name} at {self._settings.fps} Hz"
        shown = ", ".join(sorted(set(offered))[:12]) or "no such stream at all"
        raise InputError(what, where="camera", right=f"offered: {shown}")

    def _colour_of(self, depth: Any) -> Any:
        """The colour frame nearest in time, within half a period; None where there is none."""
        half_ms = 500.0 / self._settings.fps
        while True:
            if self._waiting is None:
                got, frame = self._colour_queue.try_wait_for_frame(COLOUR_WAIT_MS)
                if not got:
                    return None
                self._waiting = frame
            ahead = self._waiting.get_timestamp() - depth.get_timestamp()
            if ahead > half_ms:
                return None
            frame, self._waiting = self._waiting, None
            if ahead >= -half_ms:
                return frame

    def _compose(self, frame: Any, source: Any) -> None:
        source.frame_ready(source.allocate_composite_frame(self._pair))

    def _aligned(self, depth: Any, colour: Any) -> tuple[Any, Any]:
        """Both in one view. The library aligns framesets, and its own syncer pairs too strictly to be used."""
        self._pair = [depth, colour]
        self._composer.invoke(depth)
        got, frame = self._composed.try_wait_for_frame(1000)
        self._pair = []
        if not got or self._align is None:
            raise DeviceError("depth and colour could not be brought together", where="camera")
        pair = self._align.process(frame.as_frameset())
        return pair.get_depth_frame(), pair.get_color_frame()

    def _colour_image(self, depth: Any, colour: Any) -> ColourImage | None:
        if colour is None:
            return None
        pixels = np.array(colour.get_data(), dtype=np.uint8)
        k = intrinsics_of(colour.profile)
        if self._align is not None:
            return ColourImage(pixels, k, self._frame, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
        pose = colour.profile.get_extrinsics_to(depth.profile)
        # The library keeps rotations column by column.
        w, x, y, z = (float(v) for v in rotations.from_matrix(np.array(pose.rotation).reshape(3, 3).T))
        a, b, c = (float(v) for v in pose.translation)
        return ColourImage(pixels, k, COLOUR_FRAME, (a, b, c), (w, x, y, z))


def decimated(k: Intrinsics, factor: int) -> Intrinsics:
    """Where the centre of a block of ``factor`` pixels lies: the library divides the principal point and no more.

    Pixel u of the image is the block of factor * u to factor * u + factor - 1, whose centre is at u + (1 - 1/factor)/2
    of the divided scale. Left as it is, a cloud at 0.6 m would lie 0.6 mm aside.
    """
    shift = 0.5 / factor - 0.5
    return dataclasses.replace(k, cx=k.cx + shift, cy=k.cy + shift)


def intrinsics_of(profile: Any) -> Intrinsics:
    """The pinhole and lens of a video stream; coefficients that are all zero are no distortion."""
    k = profile.as_video_stream_profile().intrinsics
    name = k.model.name
    coefficients = tuple(float(v) for v in k.coeffs)
    model = _MODELS.get(name, name)
    if not any(coefficients):
        model, coefficients = "none", ()
    if model not in DISTORTIONS:
        raise DeviceError(f"lens model '{name}'", where="camera", right=f"one of: {', '.join(DISTORTIONS)}")
    return Intrinsics(
        int(k.width), int(k.height), float(k.fx), float(k.fy), float(k.ppx), float(k.ppy), model, coefficients
    )
