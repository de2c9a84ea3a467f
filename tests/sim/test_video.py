"""MP4 files: what goes in comes out, at the rate asked for, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError, RunError
from knuckle.sim.video import VideoWriter

av = pytest.importorskip("av")


def test_a_video_holds_its_frames_in_a_format_that_players_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "turn.mp4"
    with VideoWriter(path, 12.0) as video:
        for k in range(24):
            video.add(np.full((91, 121, 3), 10 * k, np.uint8))
        assert not path.exists()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name in ("h264", "mpeg4")
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == 12.0
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 24
    assert frames[0].shape == (90, 120, 3)
    assert [abs(float(f.mean()) - 10 * k) < 6 for k, f in enumerate(frames)] == [True] * 24
    assert list(path.parent.iterdir()) == [path]


def test_a_run_that_fails_leaves_no_half_video(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "turn.mp4", 12.0) as video:
            video.add(np.zeros((16, 16, 3), np.uint8))
            raise RuntimeError("the rollout broke")

    with pytest.raises(RuntimeError, match="the rollout broke"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frame", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))])
def test_what_is_no_colour_frame_is_refused(tmp_path: Path, frame: np.ndarray) -> None:
    with pytest.raises(InputError, match="a frame of shape"), VideoWriter(tmp_path / "x.mp4", 12.0) as video:
        video.add(frame)


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    def change() -> None:
        with VideoWriter(tmp_path / "x.mp4", 12.0) as video:
            video.add(np.zeros((16, 16, 3), np.uint8))
            video.add(np.zeros((16, 20, 3), np.uint8))

    with pytest.raises(InputError, match="20 x 16"):
        change()
    assert list(tmp_path.iterdir()) == []


def test_no_frames_and_no_rate_are_errors(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no frame was added"), VideoWriter(tmp_path / "x.mp4", 12.0):
        pass
    with pytest.raises(InputError, match="a frame rate of 0"):
        VideoWriter(tmp_path / "x.mp4", 0.0)


def test_a_video_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "file" / "x.mp4", Path("/proc/x.mp4")):
        with pytest.raises(RunError, match="the video cannot be written") as caught, VideoWriter(path, 12.0) as video:
            video.add(np.zeros((16, 16, 3), np.uint8))
        assert str(path) in str(caught.value)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file", tmp_path / "folder"]
