"""`knuckle record` beside a living bus: what it hears, when it stops, and what it says."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros


@pytest.fixture
def traffic(probe: Any) -> Iterator[Any]:
    """A node that publishes a latched word once, joint states, and noise that does not compress."""
    import os

    from sensor_msgs.msg import Image, JointState
    from std_msgs.msg import String

    from knuckle_ros.bus_qos import LATCHED

    word = probe.node.create_publisher(String, "word", LATCHED)
    joints = probe.node.create_publisher(JointState, "joint_states", 10)
    images = probe.node.create_publisher(Image, "depth/image_rect_raw", 5)
    word.publish(String(data="said before"))
    stop, counts = threading.Event(), {"joints": 0}

    def publish() -> None:
        image = Image(height=100, width=1000, encoding="mono8", step=1000, data=os.urandom(100_000))
        while not stop.wait(0.01):
            counts["joints"] += 1
            message = JointState(name=["a"], position=[float(counts["joints"])])
            message.header.stamp.sec = counts["joints"]
            joints.publish(message)
            images.publish(image)

    thread = threading.Thread(target=publish)
    thread.start()
    yield counts
    stop.set()
    thread.join()


def start(path: Path, domain: int, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "knuckle.cli", "record", "--out", str(path), "--domain", str(domain), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_what_is_on_the_bus_is_recorded_until_a_signal_with_what_was_latched_before(
    tmp_path: Path, free_domain: int, traffic: Any
) -> None:
    from knuckle_ros.recording.recording_file import RecordingFile

    path = tmp_path / "a.mcap"
    process = start(path, free_domain)
    part = tmp_path / "a.mcap.part"
    for _ in range(400):
        if part.exists() and part.stat().st_size > 5_000_000:
            break
        threading.Event().wait(0.05)
    assert not path.exists()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "stopped" in said
    assert not part.exists()
    with RecordingFile(path) as recording:
        assert [m.data for _, m in recording.messages(["word"])] == ["said before"]
        assert recording.latched("word")
        assert not recording.latched("joint_states")
        seconds = [m.header.stamp.sec for _, m in recording.messages(["joint_states"])]
    assert len(seconds) > 20
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))


def test_it_stops_by_itself_below_the_size_that_was_allowed(tmp_path: Path, free_domain: int, traffic: Any) -> None:
    path = tmp_path / "a.mcap"
    _, said = start(path, free_domain, "--max-mb", "2").communicate(timeout=30)
    assert "reached 2 MB" in said
    assert 500_000 < path.stat().st_size <= 2_000_000


def test_a_disk_that_takes_no_more_ends_it_with_what_was_written_readable(
    tmp_path: Path, free_domain: int, traffic: Any
) -> None:
    from knuckle_ros.recording.recording_file import RecordingFile

    path = tmp_path / "a.mcap"
    words = [sys.executable, "-m", "knuckle.cli", "record", "--out", str(path), "--domain", str(free_domain)]
    # No file of this process may grow beyond 3000 KiB: to a writer that is what a full disk is.
    command = ["bash", "-c", 'ulimit -f 3000; exec "$@"', "limited", *words]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 1
    kept = re.search(r"cannot be written: File too large; (\d+) messages are kept, (\d+) were lost", said.stderr)
    assert kept is not None, said.stderr
    assert int(kept[2]) > 0
    with RecordingFile(path) as recording:
        assert sum(1 for _ in recording.serialized(recording.types)) == int(kept[1])
    assert list(tmp_path.iterdir()) == [path]


def test_a_silent_bus_leaves_no_file_and_says_so(tmp_path: Path, free_domain: int) -> None:
    process = start(tmp_path / "a.mcap", (free_domain + 61) % 100, "--seconds", "1")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "nothing was recorded" in said
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_touched(tmp_path: Path, free_domain: int) -> None:
    path = tmp_path / "a.mcap"
    path.write_text("mine")
    process = start(path, free_domain)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert re.search(r"a\.mcap: already there", said)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]
