"""Recordings of librealsense as a camera: the .db3 of today, the .bag of before, and what is wrong with a file."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from knuckle.core.errors import DeviceError, InputError, RecordingError
from knuckle.hardware.realsense.driver import RealSenseCamera
from knuckle.hardware.realsense.playback_file import check_recording
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.spec.contracts import DepthFrame

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyrealsense2") is None,
    reason="pyrealsense2 is not installed: pip install 'knuckle[hand]'",
)

LEGACY = Path(__file__).parent / "recordings" / "d415_legacy.bag"
FRAMES = 12

# The scene of both: a wall at 500 mm before which a box of 8 columns at 400 + n mm moves a column a frame; the colour
# of frame n is 10 n. The legacy file was made by this same script under librealsense 2.55, which still wrote .bag.
RECORD = """
import sys, time
import numpy as np
from knuckle.hardware.realsense.library import librealsense
rs = librealsense()
W, H, N = 64, 48, 12
def stream(kind, uid, size, form):
    k = rs.intrinsics()
    k.width, k.height, k.fx, k.fy, k.ppx, k.ppy = W, H, 50.0, 50.0, 31.5, 23.5
    k.model, k.coeffs = rs.distortion.brown_conrady, [0.0] * 5
    s = rs.video_stream()
    s.type, s.index, s.uid, s.width, s.height, s.fps, s.bpp, s.fmt, s.intrinsics = kind, 0, uid, W, H, 30, size, form, k
    return s
device = rs.software_device()
device.register_info(rs.camera_info.name, "Intel RealSense D415")
device.register_info(rs.camera_info.serial_number, "825312070001")
depth, colour = device.add_sensor("Stereo Module"), device.add_sensor("RGB Camera")
profiles = [
    depth.add_video_stream(stream(rs.stream.depth, 0, 2, rs.format.z16)).as_video_stream_profile(),
    colour.add_video_stream(stream(rs.stream.color, 1, 3, rs.format.rgb8)).as_video_stream_profile(),
]
depth.add_read_only_option(rs.option.depth_units, 0.001)
pose = rs.extrinsics()
pose.rotation, pose.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0.015, 0, 0]
profiles[0].register_extrinsics_to(profiles[1], pose)
recorder = rs.recorder(sys.argv[1], device)
queues, sensors = [rs.frame_queue(4), rs.frame_queue(4)], recorder.query_sensors()
for sensor, queue in zip(sensors, queues):
    sensor.open(sensor.get_stream_profiles())
    sensor.start(queue)
for n in range(1, N + 1):
    image = np.full((H, W), 500, np.uint16)
    image[:, n : n + 8] = 400 + n
    both = (image, np.full((H, W, 3), 10 * n, np.uint8))
    for sensor, profile, pixels, size in zip((depth, colour), profiles, both, (2, 3)):
        frame = rs.software_video_frame()
        frame.profile, frame.pixels, frame.bpp, frame.stride = profile, pixels, size, W * size
        frame.timestamp, frame.frame_number = 1000 + 33.3 * n, n
        frame.domain = rs.timestamp_domain.hardware_clock
        sensor.on_video_frame(frame)
    time.sleep(0.033)
for sensor in sensors:
    sensor.stop()
    sensor.close()
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .db3 made by the library's own recorder."""
    path = tmp_path_factory.mktemp("camera") / "wall.db3"
    ran = subprocess.run([sys.executable, "-c", RECORD, str(path)], capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return path


def played(path: Path, **settings: object) -> list[DepthFrame]:
    values = {"playback": str(path), "decimation": 1, "late_frame_s": 10.0, **settings}
    camera = RealSenseCamera(CameraSettings(**values))  # type: ignore[arg-type]
    frames = []
    with pytest.raises(DeviceError, match="ended: the recording has ended"):
        while True:
            frames.append(camera.read(30.0))
    assert camera.status().kills == 0
    camera.close()
    return frames


@pytest.mark.parametrize("kind", ["db3", "bag"])
def test_a_recording_plays_as_it_was_taken(recording: Path, kind: str) -> None:
    frames = played(recording if kind == "db3" else LEGACY)
    # Without a colour stream to wait for, all of them; a busy machine may read too late for a few.
    assert len(frames) >= 4
    assert [frame.counter for frame in frames] == sorted({frame.counter for frame in frames})
    for frame in frames:
        n = frame.counter
        assert (frame.depth[:, n : n + 8] == 400 + n).all()
        assert (frame.depth[:, n + 8 :] == 500).all()
        k = frame.intrinsics
        assert (k.width, k.height, k.fx, k.cx, k.cy) == (64, 48, 50.0, 31.5, 23.5)
    spans = [(b.stamp_ns - a.stamp_ns) / (b.device_ns - a.device_ns) for a, b in itertools.pairwise(frames)]
    assert all(span > 0.0 for span in spans)


def test_a_recording_with_colour_keeps_both_together(recording: Path) -> None:
    for frame in played(recording, colour=True):
        assert frame.colour is not None
        assert (frame.colour.pixels == 10 * frame.counter).all()
        assert frame.colour.position == pytest.approx((-0.015, 0.0, 0.0), abs=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["db3", "bag"])
def test_a_recording_cut_short_is_named(recording: Path, tmp_path: Path, kind: str, share: float) -> None:
    whole = (recording if kind == "db3" else LEGACY).read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RecordingError, match=r"cut\.(db3|bag): cut short: .*; (copy it again|end a recording)"):
        check_recording(cut)
    if share == 0.5:
        with pytest.raises(InputError, match="cut short"):
            RealSenseCamera(CameraSettings(playback=str(cut)))


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.db3: no such file"):
        check_recording(tmp_path / "none.db3")
    text = tmp_path / "notes.db3"
    text.write_text("nothing of the kind")
    with pytest.raises(RecordingError, match="not a recording"):
        check_recording(text)
    (tmp_path / "empty.bag").touch()
    with pytest.raises(RecordingError, match="not a recording"):
        check_recording(tmp_path / "empty.bag")


def test_a_database_that_is_no_recording_is_the_librarys_line(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "other.db3"
    with sqlite3.connect(path) as database:
        database.execute("create table birds (name text)")
    database.close()
    with pytest.raises(InputError, match="the library cannot play it"):
        RealSenseCamera(CameraSettings(playback=str(path)))
