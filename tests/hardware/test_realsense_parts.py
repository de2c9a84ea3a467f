"""The driver's pure parts: the device's clock on ours, what is believed of a frame, which camera is meant, the ring."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.realsense.choose_device import DeviceFacts, choose
from knuckle.hardware.realsense.device_clock import DeviceClock
from knuckle.hardware.realsense.frame_ring import SLOTS, FrameRing
from knuckle.hardware.realsense.frame_watch import FrameWatch
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.spec.contracts import ColourImage, DepthFrame
from knuckle.hardware.spec.mounts import OPTICAL_FRAME, pinhole

MS = 1_000_000
K = pinhole(32, 24)
ONE = DeviceFacts("Intel RealSense D415", "11", "3.2")


def frame(n: int, *, stamp_ns: int | None = None, counter: int | None = None, **changed: object) -> DepthFrame:
    depth = np.full((24, 32), 500 + n, np.uint16)
    made = DepthFrame(n * 33 * MS if stamp_ns is None else stamp_ns, counter or n, depth, 0.001, K, OPTICAL_FRAME)
    return dataclasses.replace(made, **changed)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 200 * MS), min_size=2, max_size=60), st.integers(-(10**15), 10**15))
def test_stamps_grow_and_lie_between_exposure_and_arrival(ways: list[int], offset: int) -> None:
    clock, arrival, last = DeviceClock(), 0, None
    for n, way in enumerate(ways):
        exposure = 10**16 + n * 33 * MS
        arrival = max(arrival + 1, exposure + way)
        stamp = clock.stamp(exposure - offset, arrival)
        assert stamp <= arrival
        assert stamp >= exposure
        assert last is None or stamp > last
        last = stamp
    # The least way is learnt, and ages are told to within it, where frames do not queue behind each other.
    assert max(ways) > 30 * MS or stamp - exposure <= max(min(ways), 1) + len(ways)


def test_a_frame_held_up_for_long_is_told_as_old_and_a_device_reset_is_learnt() -> None:
    clock = DeviceClock()
    for n in range(10):
        clock.stamp(n * 33 * MS, 1000 * MS + n * 33 * MS + 5 * MS)
    late = clock.stamp(10 * 33 * MS, 1000 * MS + 10 * 33 * MS + 2000 * MS)
    assert late == 1000 * MS + 330 * MS + 5 * MS
    assert clock.stamp(3 * MS, 9000 * MS) == 9000 * MS
    assert clock.resets == 1


def test_frames_are_judged_by_form_content_count_and_age() -> None:
    watch = FrameWatch(late_s=0.15, frozen_frames=3)

    def judged(given_frame: DepthFrame, age_ms: int = 10) -> bool:
        return watch.accept(given_frame, given_frame.stamp_ns + age_ms * MS)

    assert judged(frame(1))
    assert not judged(frame(2), age_ms=151)
    assert not judged(frame(3, depth=np.zeros((24, 32), np.uint16)))
    assert not judged(frame(4, intrinsics=dataclasses.replace(K, fx=2 * K.fx)))
    assert "fx" in watch.last_problem and "restart what reads it" in watch.last_problem
    assert not judged(frame(5, depth=np.full((24, 32), np.nan)))
    assert "float64" in watch.last_problem
    assert not judged(frame(6, scale_m=0.0001))
    assert judged(frame(7))
    assert dict(watch.dropped) == {"late": 1, "zero": 1, "format": 3}


@pytest.mark.parametrize("by", ["content", "count"])
def test_a_frozen_camera_is_seen_and_must_prove_itself(by: str) -> None:
    watch = FrameWatch(late_s=0.15, frozen_frames=3)
    still = np.full((24, 32), 700, np.uint16)

    def show(n: int, frozen: bool) -> bool:
        shown = frame(n)
        if frozen:
            shown = frame(n, depth=still) if by == "content" else frame(n, counter=50)
        return watch.accept(shown, shown.stamp_ns)

    assert all(show(n, frozen=False) for n in range(1, 5))
    taken = [show(n, frozen=True) for n in range(51, 56)]
    assert taken == [True, False, False, False, False]
    assert watch.frozen
    watch.reopened()
    assert not watch.frozen
    assert [show(n, frozen=False) for n in range(60, 65)] == [False, False, False, True, True]


def test_choosing_names_what_is_connected() -> None:
    two = [ONE, dataclasses.replace(ONE, serial="22")]
    assert choose([ONE], CameraSettings()) == 0
    assert choose(two, CameraSettings(serial="22")) == 1
    with pytest.raises(InputError, match=r"2 cameras are connected; set camera\.serial, one of: 11 .*, 22"):
        choose(two, CameraSettings())
    with pytest.raises(InputError, match=r"no camera '33'; connected: 11"):
        choose([ONE], CameraSettings(serial="33"))
    with pytest.raises(DeviceError, match="no RealSense camera is connected"):
        choose([], CameraSettings())
    with pytest.raises(InputError, match="runs at USB 2.1"):
        choose([dataclasses.replace(ONE, usb="2.1")], CameraSettings())


def test_the_ring_gives_back_what_was_written_and_none_of_what_was_overtaken() -> None:
    pixels = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    lens = dataclasses.replace(K, distortion="inverse_brown_conrady", coefficients=(0.1, 0.2, 0.3, 0.4, 0.5))
    colour = ColourImage(pixels, lens, "camera_color_optical_frame", (0.1, 0.2, 0.3), (0.0, 1.0, 0.0, 0.0))
    writer = FrameRing(24 * 32 * 5)
    reader = FrameRing(24 * 32 * 5, writer.fd)
    first = frame(1, colour=colour, device_ns=5, arrival_ns=6)
    number = writer.write(first)
    read = reader.read(number)
    assert read is not None and read.colour is not None
    assert np.array_equal(read.depth, first.depth) and np.array_equal(read.colour.pixels, pixels)
    plain = {"depth": 0, "colour": 0}
    assert dataclasses.replace(read, **plain) == dataclasses.replace(first, **plain)
    assert dataclasses.replace(read.colour, pixels=0) == dataclasses.replace(colour, pixels=0)
    for n in range(2, SLOTS + 2):
        writer.write(frame(n))
    assert reader.read(number) is None
    with pytest.raises(DeviceError, match="at most"):
        writer.write(frame(9, depth=np.zeros((240, 320), np.uint16)))


@given(st.binary(min_size=64, max_size=400), st.integers(0, 300))
def test_a_writer_gone_mad_yields_no_frame_beyond_the_ring(noise: bytes, at: int) -> None:
    ring = FrameRing(24 * 32 * 5)
    number = ring.write(frame(1))
    start = 4096 + number % SLOTS * ring._stride + at
    ring._map[start : start + len(noise)] = noise
    try:
        read = ring.read(number)
    except DeviceError:
        read = None
    assert read is None or read.depth.nbytes <= ring.capacity
    ring.close()


@pytest.mark.parametrize("size", [0, -1, 10**12])
def test_a_ring_beyond_reason_is_refused_before_it_is_allocated(size: int) -> None:
    with pytest.raises(DeviceError, match="at most"):
        FrameRing(size)
