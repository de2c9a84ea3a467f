"""The file that a recording is: what readers make of it, and what is left after a kill or on a full disk."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core.errors import BusError, RecordingError

pytestmark = pytest.mark.ros


def messages() -> list[tuple[str, str, Any]]:
    """Topic, type and message: flat, nested, with arrays and with our own types."""
    from knuckle_msgs.msg import SafetyState, Track, Tracks
    from sensor_msgs.msg import Image, JointState, PointCloud2, PointField
    from std_msgs.msg import String
    from tf2_msgs.msg import TFMessage

    image = Image(height=2, width=3, encoding="16UC1", step=6, data=np.arange(6, dtype="<u2").tobytes())
    image.header.stamp.sec, image.header.frame_id = 7, "camera"
    # rclpy's serializer pads behind empty arrays, which a message off the bus does not and rosbags refuses.
    joints = JointState(name=["a", "b"], position=[0.1, -0.0], velocity=[1.0], effort=[1.0])
    cloud = PointCloud2(height=1, width=1, fields=[PointField(name="x")], point_step=4, data=b"\1\2\3\4")
    return [
        ("/depth", "sensor_msgs/msg/Image", image),
        ("/joint_states", "sensor_msgs/msg/JointState", joints),
        ("/points", "sensor_msgs/msg/PointCloud2", cloud),
        ("/safety/state", "knuckle_msgs/msg/SafetyState", SafetyState(state=SafetyState.STOPPED, reason="ä")),
        ("/tracks", "knuckle_msgs/msg/Tracks", Tracks(tracks=[Track(), Track()])),
        ("/text", "std_msgs/msg/String", String(data="hello")),
        ("/tf_static", "tf2_msgs/msg/TFMessage", TFMessage()),
    ]


def write(path: Path, rounds: int = 3) -> list[tuple[str, bytes]]:
    """A recording of all ``messages``, ``rounds`` times; topics and bytes as written."""
    from rclpy.serialization import serialize_message

    from knuckle_ros.recording.mcap_output import McapOutput
    from knuckle_ros.recording.message_text import message_text

    output, written = McapOutput(path), []
    for topic, kind, _ in messages():
        output.add_channel(topic, kind, message_text(kind), "")
    for k in range(rounds):
        for topic, _, message in messages():
            data = serialize_message(message)
            output.add_message(topic, data, 10**9 + 1000 * len(written), 5)
            written.append((topic, data))
        if k % 2:
            output.flush()
    output.flush()
    output.finish()
    return written


def test_rosbags_and_the_mcap_library_read_what_was_written(tmp_path: Path) -> None:
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory
    from rosbags.highlevel import AnyReader

    path = tmp_path / "a.mcap"
    written = write(path)
    with path.open("rb") as stream:
        records = list(make_reader(stream, validate_crcs=True).iter_messages())
    assert [(channel.topic, message.data) for _, channel, message in records] == written
    with path.open("rb") as stream:
        decoder = make_reader(stream, decoder_factories=[DecoderFactory()])
        decoded = {channel.topic: message for _, channel, _, message in decoder.iter_decoded_messages()}
    assert decoded["/safety/state"].reason == "ä"
    assert len(decoded["/tracks"].tracks) == 2
    with AnyReader([path]) as reader:
        read = {c.topic: reader.deserialize(data, c.msgtype) for c, _, data in reader.messages()}
    assert read["/depth"].data.tobytes() == np.arange(6, dtype="<u2").tobytes()
    assert read["/depth"].header.stamp.sec == 7
    assert read["/joint_states"].position.tobytes() == np.array([0.1, -0.0]).tobytes()
    assert read["/text"].data == "hello"


def test_many_chunks_come_back_whole_and_in_order(tmp_path: Path) -> None:
    from mcap.reader import make_reader

    path = tmp_path / "a.mcap"
    written = write(path, rounds=400)
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == len(written)
        assert len(summary.chunk_indexes) == summary.statistics.chunk_count >= 200
        assert [message.data for _, _, message in reader.iter_messages()] == [data for _, data in written]
        only = [m for _, _, m in reader.iter_messages(topics=["/text"], starting_at=10**9 + 1_400_000)]
    assert len(only) == sum(k >= 1400 for k in range(5, 2800, 7))


def test_a_killed_recorder_leaves_all_whole_chunks_and_recovery_makes_them_a_recording(tmp_path: Path) -> None:
    from knuckle_ros.recording.recording_file import RecordingFile
    from knuckle_ros.recording.recover import recover

    part = tmp_path / "a.mcap.part"
    script = (
        "import sys, pathlib\n"
        "from knuckle_ros.recording.mcap_output import McapOutput\n"
        "o = McapOutput(pathlib.Path(sys.argv[1]))\n"
        "o.add_channel('/t', 'std_msgs/msg/String', 'string data', '')\n"
        "for k in range(10**9):\n"
        "    text = str(k).encode() + b'\\0'\n"
        "    o.add_message('/t', b'\\0\\1\\0\\0' + len(text).to_bytes(4, 'little') + text, k, k)\n"
        "    k % 1000 or o.flush()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(part)])
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 20_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with part.open("ab") as stream:  # the record that was being written
        stream.write(b"\x06\xff\x00\x00\x00\x00\x00\x00\x00half")
    path, count = recover(part)
    assert path == tmp_path / "a.mcap"
    assert count >= 1000
    with RecordingFile(path) as recording:
        assert [m.data for _, m in recording.messages(["t"])] == [str(k) for k in range(count)]
    assert part.exists()
    with pytest.raises(RecordingError, match="already there"):
        recover(part)


def test_a_disk_that_takes_no_more_costs_the_last_chunk_and_nothing_else(tmp_path: Path) -> None:
    from knuckle_ros.recording.mcap_output import McapOutput
    from knuckle_ros.recording.recording_file import RecordingFile

    path, limit = tmp_path / "a.mcap", 200_000
    output = McapOutput(path)
    output.add_channel("/t", "std_msgs/msg/String", "string data", "")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        for kept in range(1000):
            noise = os.urandom(3000).hex().encode() + b"\0"
            output.add_message("/t", b"\0\1\0\0" + len(noise).to_bytes(4, "little") + noise, kept, kept)
            with contextlib.suppress(OSError):
                output.flush()
            if output.messages == kept:
                break
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 10 < kept < 1000
    assert output.messages == kept
    output.finish()
    with RecordingFile(path) as recording:
        assert len(list(recording.messages(["t"]))) == kept


def test_files_that_are_no_whole_recording_are_named_in_one_line(tmp_path: Path) -> None:
    from knuckle_ros.recording.recording_file import RecordingFile
    from knuckle_ros.recording.recover import recover

    whole = tmp_path / "whole.mcap"
    write(whole)
    cases = {
        "absent.mcap": (None, "No such file"),
        "empty.mcap": (b"", "not an MCAP file"),
        "text.mcap": (b"hello there, this is text", "not an MCAP file"),
        "short.mcap": (whole.read_bytes()[:-300], "cut short"),
        "magic.mcap": (whole.read_bytes()[:8], "cut short"),
        "name.bag": (whole.read_bytes(), r"\.mcap"),
    }
    for name, (content, said) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(RecordingError, match=said) as caught:
            RecordingFile(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(RecordingError, match="no whole message"):
        recover(tmp_path / "magic.mcap")
    assert not list(tmp_path.glob("*.recover*"))


def test_a_damaged_chunk_is_told_and_not_shown_as_data(tmp_path: Path) -> None:
    from knuckle_ros.recording.recording_file import RecordingFile

    path = tmp_path / "a.mcap"
    write(path)
    content = bytearray(path.read_bytes())
    content[400:420] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="damaged"), RecordingFile(path) as recording:
        list(recording.messages(list(recording.types)))


def test_a_missing_topic_is_named(tmp_path: Path) -> None:
    from knuckle_ros.recording.recording_file import RecordingFile

    path = tmp_path / "a.mcap"
    write(path)
    with RecordingFile(path) as recording, pytest.raises(RecordingError, match="no imu, needed for estimates"):
        recording.require({"text": "std_msgs/msg/String", "imu": "sensor_msgs/msg/Imu"}, what="estimates")


def test_a_topic_of_another_type_is_named(tmp_path: Path) -> None:
    from knuckle_ros.recording.recording_file import RecordingFile

    path = tmp_path / "a.mcap"
    write(path)
    with RecordingFile(path) as recording, pytest.raises(RecordingError, match="text is std_msgs/msg/String; sensor"):
        recording.require({"text": "sensor_msgs/msg/Imu"}, what="estimates")


def test_a_definition_holds_every_nested_type_once() -> None:
    from knuckle_ros.recording.message_text import message_text

    text = message_text("knuckle_msgs/msg/Tracks")
    assert text.count("MSG: std_msgs/Header\n") == 1
    assert text.count("MSG: builtin_interfaces/Time\n") == 1
    assert "MSG: knuckle_msgs/Track\n" in text
    with pytest.raises(BusError, match="nothing_msgs/msg/Void"):
        message_text("nothing_msgs/msg/Void")
