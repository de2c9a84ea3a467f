"""The RealSense driver over the library's own software device: frames, and each way in which a camera can fail."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.realsense.driver import RealSenseCamera
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.spec.contracts import ColourImage, DepthCamera, DepthFrame
from knuckle.hardware.spec.mounts import OPTICAL_FRAME, pinhole
from knuckle.hardware.virtual.camera import VirtualCamera

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyrealsense2") is None,
    reason="pyrealsense2 is not installed: pip install 'knuckle[hand]'",
)

TURNED = rotations.exp([0.01, -0.02, 0.03])
PERIOD_NS = 33_000_000


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


class SlopeSource:
    """A tilted plane with a millimetre of noise, and a picture whose red is the number of the frame."""

    def __init__(self, width: int, height: int, *, colour: bool) -> None:
        self.k = pinhole(width, height)
        self._rng = np.random.default_rng(0)
        rows = np.rint(np.linspace(500.0, 700.0, height))[:, None]
        self.plane = np.broadcast_to(rows, (height, width))
        self._colour = colour
        self.holes = slice(0, 0)
        self.n = 0
        self.now_ns = 7_000_000_000

    def render(self) -> DepthFrame:
        self.n += 1
        self.now_ns += PERIOD_NS
        noisy = self.plane + self._rng.integers(-1, 2, self.plane.shape)
        noisy[:, self.holes] = 0
        image = None
        if self._colour:
            pixels = np.full((*self.plane.shape, 3), self.n % 250, np.uint8)
            w, x, y, z = (float(v) for v in TURNED)
            image = ColourImage(pixels, self.k, "", (0.015, 0.001, -0.002), (w, x, y, z))
        return DepthFrame(self.now_ns, self.n, noisy.astype(np.uint16), 0.001, self.k, OPTICAL_FRAME, colour=image)


class Rig:
    """A driver over a virtual camera that a thread exposes; the source's clock is that of the stamps."""

    def __init__(self, **settings: object) -> None:
        values = {"stream_mode": "424x240", "back_off_s": 0.05, **settings}
        self.settings = CameraSettings(**values)  # type: ignore[arg-type]
        self.source = SlopeSource(*self.settings.depth_size, colour=self.settings.colour)
        self.virtual = VirtualCamera(self.source)
        self.camera = RealSenseCamera(self.settings, virtual=self.virtual, now_ns=lambda: self.source.now_ns)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._expose)
        self._thread.start()

    def _expose(self) -> None:
        while not self._stopping.wait(0.02):
            self.virtual.expose()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.camera.status()}"
            time.sleep(0.01)

    def dropped(self, reason: str) -> int:
        return self.camera.status().dropped.get(reason, 0)

    def drain(self) -> None:
        """Read what was taken before a fault came to work."""
        for _ in range(2):
            try:
                self.camera.read(0.0)
            except DeviceError:
                return

    def fresh(self) -> DepthFrame:
        return self.camera.read(30.0)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.camera.close()


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**settings: object) -> Rig:
        rigs.append(Rig(**settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


def test_a_frame_is_what_was_shown_with_its_stamp_count_and_pinhole(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(decimation=1)
    assert isinstance(rig.camera, DepthCamera)
    first, second = rig.fresh(), rig.fresh()
    assert second.counter > first.counter
    assert (second.stamp_ns - first.stamp_ns) % PERIOD_NS == 0
    assert (first.stamp_ns - 7_000_000_000) % PERIOD_NS == 0
    assert first.depth.shape == (240, 424)
    assert np.abs(first.depth - rig.source.plane).max() <= 1.0
    k = first.intrinsics
    wanted = (rig.source.k.fx, rig.source.k.fy, rig.source.k.cx, rig.source.k.cy)
    assert (k.fx, k.fy, k.cx, k.cy) == pytest.approx(wanted, abs=1e-3)
    assert (k.distortion, first.scale_m, first.frame, first.colour) == ("none", 0.001, OPTICAL_FRAME, None)
    status = rig.camera.status()
    assert (status.state, status.serial, status.openings, status.kills) == ("streaming", "virtual", 1, 0)


def test_a_decimated_image_has_the_pinhole_of_its_size(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream_mode="640x360", decimation=2)
    frame = rig.fresh()
    k, wanted = frame.intrinsics, pinhole(320, 180)
    assert (k.width, k.height) == (320, 180)
    assert (k.fx, k.fy, k.cx, k.cy) == pytest.approx((wanted.fx, wanted.fy, wanted.cx, wanted.cy), abs=1e-3)
    blocks = rig.source.plane.reshape(180, 2, 320, 2).mean(axis=(1, 3))
    assert abs((frame.depth - blocks)[10:-10, 10:-10].mean()) < 0.6


def test_filters_fill_holes_and_quieten_noise(make_rig: Callable[..., Rig]) -> None:
    plain, smooth = make_rig(decimation=1), make_rig(decimation=1, spatial=True, temporal=True, fill_holes=True)
    rough = [np.abs(np.diff(rig.fresh().depth[:, 100:110].astype(int), axis=1)).mean() for rig in (plain, smooth)]
    assert rough[1] < 0.5 * rough[0]
    plain.source.holes = smooth.source.holes = slice(200, 203)
    plain.until(lambda: not plain.fresh().depth[:, 201].any(), "holes")
    for _ in range(5):
        assert (smooth.fresh().depth[10:-10, 150:250] > 400).all()


def test_colour_comes_with_its_place_and_of_the_same_instant(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream_mode="640x480", colour=True, decimation=1)
    frame = rig.fresh()
    assert frame.colour is not None
    shown = (frame.stamp_ns - 7_000_000_000) // PERIOD_NS
    assert frame.colour.pixels.shape == (480, 640, 3)
    assert (frame.colour.pixels == shown % 250).all()
    assert frame.colour.position == pytest.approx((0.015, 0.001, -0.002), abs=1e-6)
    assert float(rotations.angle_between(frame.colour.quaternion, TURNED)) < 1e-5


@pytest.mark.parametrize("align", ["depth to colour", "colour to depth"])
def test_aligned_images_share_one_view(make_rig: Callable[..., Rig], align: str) -> None:
    frame = make_rig(stream_mode="640x480", colour=True, decimation=1, align=align).fresh()
    assert frame.colour is not None
    assert frame.colour.frame == frame.frame
    assert (frame.frame == OPTICAL_FRAME) == (align == "colour to depth")
    assert frame.colour.pixels.shape[:2] == frame.depth.shape
    assert (frame.colour.position, frame.colour.quaternion) == ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))


def test_an_unplugged_camera_is_waited_for_and_found_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.fresh()
    rig.virtual.inject("unplug")
    rig.until(lambda: rig.camera.status().state == "waiting", "unplugged")
    rig.until(lambda: "no RealSense camera is connected" in rig.camera.status().problem, "not found again")
    rig.drain()
    with pytest.raises(DeviceError, match="waiting: camera: no RealSense camera is connected"):
        rig.camera.read(0.0)
    rig.virtual.clear()
    assert rig.fresh().depth.any()
    assert rig.camera.status().openings == 2


def test_a_frozen_camera_is_seen_by_its_content_and_opened_anew(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.fresh()
    rig.virtual.inject("freeze")
    rig.until(lambda: rig.dropped("frozen") >= 4 and rig.camera.status().openings >= 2, "frozen")
    rig.drain()
    with pytest.raises(DeviceError):
        rig.camera.read(0.5)
    rig.virtual.clear()
    assert rig.fresh().depth.any()


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [("late", "late", "ms old; at most 150"), ("zero", "zero", "every pixel is zero"), ("intrinsics", "format", "fx")],
)
def test_bad_frames_are_dropped_counted_and_named(
    make_rig: Callable[..., Rig], fault: str, reason: str, said: str
) -> None:
    rig = make_rig()
    rig.fresh()
    rig.virtual.inject(fault)
    rig.until(lambda: rig.dropped(reason) >= 3, fault)
    rig.drain()
    before = rig.dropped(reason)
    rig.until(lambda: rig.dropped(reason) >= before + 3 and said in rig.camera.status().problem, said)
    with pytest.raises(DeviceError):
        rig.camera.read(0.0)
    rig.virtual.clear()
    frame = rig.fresh()
    assert frame.depth.any()
    assert frame.intrinsics.fx == pytest.approx(0.5 * rig.source.k.fx, abs=1e-3)


def test_depth_in_another_format_is_refused_with_what_is_offered(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.fresh()
    rig.virtual.inject("encoding")
    rig.until(lambda: "offered: 424x240 y16 30 Hz" in rig.camera.status().problem, "encoding")
    rig.virtual.clear()
    rig.drain()
    assert rig.fresh().depth.any()


def test_a_library_that_hangs_is_killed_and_started_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(hang_s=1.0)
    rig.fresh()
    pid = rig.camera.status().pid
    rig.virtual.inject("hang")
    rig.until(lambda: rig.camera.status().kills >= 1, "killed")
    assert not os.path.exists(f"/proc/{pid}")
    rig.virtual.clear()
    rig.drain()
    assert rig.fresh().depth.any()


def test_a_killed_process_is_started_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.fresh()
    os.kill(rig.camera.status().pid, 9)
    rig.until(lambda: rig.camera.status().openings == 2, "opened again")
    assert rig.fresh().depth.any()


def test_the_process_ends_with_code_0_and_leaves_nothing(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.fresh()
    pid = rig.camera.status().pid
    descriptors = len(os.listdir("/proc/self/fd"))
    # Frames lie in memory without a name, so that no death can leave any of it behind.
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "memfd:knuckle-camera" in maps and "/dev/shm" not in maps
    rig.close()
    status = rig.camera.status()
    assert (status.state, status.kills) == ("closed", 0)
    assert not os.path.exists(f"/proc/{pid}")
    assert len(os.listdir("/proc/self/fd")) < descriptors


def test_the_camera_does_not_outlive_a_killed_driver() -> None:
    script = (
        "import sys, time\n"
        f"sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from test_realsense_driver import Rig\n"
        "rig = Rig(); rig.fresh(); print(rig.camera.status().pid, flush=True); time.sleep(60)\n"
    )
    ran = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert ran.stdout is not None
    pid = int(ran.stdout.readline())
    ran.kill()
    ran.wait()
    deadline = time.monotonic() + 20.0
    while alive(pid):
        assert time.monotonic() < deadline, "the camera's process lives on"
        time.sleep(0.01)
    ran.stdout.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"serial": "123"}, r"camera\.serial: no camera '123'; connected: virtual"),
        ({"camera_model": "d435"}, "Intel RealSense D415, not a D435"),
        ({"fps": 25}, r"camera\.fps: 424x240 has no 25 Hz; one of: 6, 15, 30, 60, 90"),
        ({"align": "colour to depth"}, r"camera\.align: alignment needs both images"),
    ],
)
def test_a_camera_that_is_not_the_wanted_one_is_refused_in_one_line(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Rig(**settings)


def test_a_camera_on_usb_2_is_refused_with_the_way_to_mend_it() -> None:
    source = SlopeSource(424, 240, colour=False)
    with pytest.raises(InputError, match=r"D415 virtual runs at USB 2\.1; a USB 3 port \(blue\)"):
        RealSenseCamera(CameraSettings(stream_mode="424x240"), virtual=VirtualCamera(source, usb="2.1"))


def test_no_camera_is_one_line() -> None:
    with pytest.raises(DeviceError, match="no RealSense camera is connected; plug a D415 or D435 into a USB 3 port"):
        RealSenseCamera(CameraSettings())


@pytest.mark.ros
def test_rclpy_before_the_library_ends_with_code_0() -> None:
    script = (
        "import rclpy\n"
        "from knuckle.hardware.realsense.library import librealsense\n"
        "rs = librealsense()\n"
        "rclpy.init(); node = rclpy.create_node('both'); context = rs.context(); context.query_devices()\n"
        "node.destroy_node(); rclpy.shutdown()\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
