"""`knuckle replay`: a living graph is recorded, and its outputs come out of the recording again, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros

GRAPH = """
processes:
  world: {shared_memory: large}
  perception: {}
nodes:
  world: {module: world_node, process: world}
  hand: {module: hand_node, process: world, parameters: {autostart: true, latch_file: LATCH}}
  camera: {module: camera_node, process: world, parameters: {source: rays, width: 160, height: 90}}
  imu: {module: imu_node, process: world}
  perception: {module: perception_node, process: perception, parameters: {voxel_m: 0.006}}
  estimator: {module: estimator_node, process: perception, parameters: {rate_hz: 120.0}}
"""


def knuckle(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "knuckle.cli", *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Some seconds of a world, a camera, an IMU, perception and an estimator."""
    import os
    import signal

    folder = tmp_path_factory.mktemp("graph")
    graph, path, domain = folder / "g.yaml", folder / "a.mcap", str(20 + os.getpid() % 60)
    graph.write_text(GRAPH.replace("LATCH", str(folder / "stop.json")))
    run = subprocess.Popen(
        [sys.executable, "-m", "knuckle.cli", "run", str(graph), "--domain", domain],
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        time.sleep(6.0)
        said = knuckle("record", "--out", str(path), "--domain", domain, "--seconds", "6")
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(30)
    assert said.returncode == 0, said.stderr
    return path


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """A copy of a recording with the bytes of its messages changed, or left out (None)."""
    from knuckle_ros.recording.mcap_output import McapOutput
    from knuckle_ros.recording.message_text import message_text
    from knuckle_ros.recording.recording_file import RecordingFile

    output = McapOutput(target)
    with RecordingFile(source) as recording:
        for topic, kind in recording.types.items():
            output.add_channel(f"/{topic}", kind, message_text(kind), "")
        for topic, time_ns, data in recording.serialized(recording.types):
            changed = change(topic, data)
            if changed is not None:
                output.add_message(f"/{topic}", changed, time_ns, time_ns)
    output.flush()
    output.finish()


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_the_outputs_of_a_living_graph_come_again_to_the_last_bit(recorded: Path, tmp_path: Path) -> None:
    said = knuckle("replay", str(recorded), "--json", str(tmp_path / "f.json"))
    assert said.returncode == 0, said.stdout + said.stderr
    figures = json.loads((tmp_path / "f.json").read_text())["figures"]
    assert figures["points_identical"] >= 10
    assert figures["palm_estimate_identical"] >= 100
    for topic in ("points", "palm_estimate"):
        assert figures[f"{topic}_different"] == figures[f"{topic}_missing"] == 0


def test_readings_that_were_heard_later_than_the_first_state_do_not_spoil_the_estimates(
    recorded: Path, tmp_path: Path
) -> None:
    # How much a busy machine records is not the same twice: a third of the readings is left out, whatever that is.
    readings = Counter[str]()

    def count(name: str, data: bytes) -> bytes:
        readings[name] += 1
        return data

    late = tmp_path / "late.mcap"
    rewrite(recorded, tmp_path / "counted.mcap", count)
    left_out = {"imu": readings["imu"] // 3, "magnetic_field": readings["magnetic_field"] // 4}

    def change(name: str, data: bytes) -> bytes | None:
        left_out[name] = left_out.get(name, 0) - 1
        return None if left_out[name] >= 0 else data

    rewrite(recorded, late, change)
    figures = tmp_path / "figures.json"
    said = knuckle("replay", str(late), "--json", str(figures))
    assert said.returncode == 0, said.stdout + said.stderr
    assert json.loads(figures.read_text())["figures"]["palm_estimate_identical"] > 0.4 * readings["imu"] > 40


@pytest.mark.parametrize(("topic", "figure"), [("points", "points"), ("palm/estimate", "palm_estimate")])
def test_one_flipped_bit_in_an_output_is_found(recorded: Path, tmp_path: Path, topic: str, figure: str) -> None:
    names: list[str] = []

    def look(name: str, data: bytes) -> bytes:
        names.append(name)
        return data

    rewrite(recorded, tmp_path / "whole.mcap", look)
    # One from the middle: how many there are is the machine's business, and the first cannot be compared.
    middle, seen = names.count(topic) // 2, 0
    assert middle > 0

    def change(name: str, data: bytes) -> bytes:
        nonlocal seen
        seen += name == topic
        return flipped(data, -20) if name == topic and seen == middle else data

    rewrite(recorded, tmp_path / "b.mcap", change)
    said = knuckle("replay", str(tmp_path / "b.mcap"), "--json", str(tmp_path / "f.json"))
    assert said.returncode == 1, said.stdout + said.stderr
    assert json.loads((tmp_path / "f.json").read_text())["figures"][f"{figure}_different"] == 1


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("joint_states", "no joint_states, needed for points"),
        ("depth/camera_info", "no depth/camera_info, needed for points"),
        ("perception/configuration", "the configuration of perception is not in it"),
        ("palm/estimator_state", "no palm/estimator_state, needed for palm/estimate"),
    ],
)
def test_a_recording_that_lacks_a_topic_is_refused_by_its_name(
    recorded: Path, tmp_path: Path, topic: str, said: str
) -> None:
    from knuckle.core.errors import RecordingError
    from knuckle_ros.commands.replay import replay

    rewrite(recorded, tmp_path / "b.mcap", lambda name, data: None if name == topic else data)
    with pytest.raises(RecordingError, match=said):
        replay([str(tmp_path / "b.mcap")])


def test_a_recording_without_outputs_has_nothing_to_make_again(recorded: Path, tmp_path: Path) -> None:
    rewrite(recorded, tmp_path / "b.mcap", lambda name, data: data if name == "imu" else None)
    said = knuckle("replay", str(tmp_path / "b.mcap"))
    assert said.returncode == 2
    assert "no output to make again" in said.stderr
    assert said.stderr.count("\n") == 1


def test_a_truncated_file_is_refused_in_one_line(recorded: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.mcap"
    path.write_bytes(recorded.read_bytes()[:100_000])
    said = knuckle("replay", str(path))
    assert said.returncode == 2
    assert "cut short" in said.stderr
    assert said.stderr.count("\n") == 1


def test_the_recording_can_be_put_on_the_bus_again(recorded: Path, free_domain: int, probe: Any) -> None:
    from sensor_msgs.msg import Imu

    from knuckle_ros.recording.recording_file import RecordingFile

    heard = probe.listen(Imu, "imu", 1000)
    with RecordingFile(recorded) as recording:
        wanted = [m.header.stamp.nanosec for _, m in recording.messages(["imu"])]
    said = knuckle("replay", str(recorded), "--bus", "--only", "imu", "--rate", "5", "--domain", str(free_domain))
    assert said.returncode == 0, said.stderr
    assert f"{len(wanted)} messages published" in said.stderr
    # The first may go before the two know each other.
    stamps = [m.header.stamp.nanosec for m in heard]
    assert len(stamps) > len(wanted) / 2
    assert stamps == wanted[-len(stamps) :]
