"""Faults of docs/faults.md that need a whole graph, over virtual servos whose monitor judges every write."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knuckle.hardware.spec.dynamixel_table import WATCHDOG_EXPIRED
from knuckle.hardware.virtual.control_socket import ask

pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]

MOVING = """
processes: {world: {}, policy: {}, user: {}}
nodes:
  world: {module: world_node, process: world, parameters: {object_name: truck}}
  hand:
    module: hand_node
    process: world
    parameters: {autostart: true, latch_file: FOLDER/stop.json, port: virtual, watchdog_s: 5.0}
  policy: {module: policy_node, process: policy, parameters: {model: random, engage: true}}
  goals: {module: goal_node, process: user, parameters: {pause: 0.2}}
"""
HOLD, ARMED = 0, 1
HOPS = 5
"""From a death to our ears: supervisor, control pipe, cycle of the hand, DDS, this process."""
Start = Callable[..., Any]


class Lateness:
    """The worst delay with which this machine wakes a thread that sleeps: what a bound in real time must allow for."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            due = time.monotonic() + 0.002
            time.sleep(0.002)
            self.worst_s = max(self.worst_s, time.monotonic() - due)

    def __enter__(self) -> Lateness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def wait_until(condition: Callable[[], bool], what: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.001)


@pytest.fixture(scope="module")
def probe(shared_probe: Any) -> Any:
    return shared_probe


@pytest.fixture(scope="module")
def safety(probe: Any) -> list[Any]:
    from knuckle_msgs.msg import SafetyState

    from knuckle_ros.bus_qos import LATCHED

    return probe.listen(SafetyState, "safety/state", LATCHED)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def moving(
    run_shared_graph: Start,
    probe: Any,
    safety: list[Any],
    tmp_path_factory: pytest.TempPathFactory,
    shared_environment: pytest.MonkeyPatch,
) -> tuple[Any, Path, list[Any]]:
    """A graph whose policy moves virtual servos; its run, the bus's socket, and what was sent.

    Every test leaves it as it was: armed and obeyed.
    """
    from trajectory_msgs.msg import JointTrajectory

    tmp_path = tmp_path_factory.mktemp("moving")
    shared_environment.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    shared_environment.setenv("XDG_STATE_HOME", str(tmp_path))
    sent = probe.listen(JointTrajectory, "joint_commands/sent")
    graph = tmp_path / "moving.yaml"
    graph.write_text(MOVING.replace("FOLDER", str(tmp_path)))
    run = run_shared_graph(str(graph))
    socket = tmp_path / "knuckle" / f"servo_bus_{probe.context.get_domain_id()}.sock"
    engaged(probe, safety, sent)
    return run, socket, sent


def engaged(probe: Any, safety: list[Any], sent: list[Any]) -> None:
    """Armed and obeyed for a second. On a busy machine the first commands may be too old, and the hand hold."""
    from std_srvs.srv import Trigger

    deadline = time.monotonic() + 90.0
    client = probe.node.create_client(Trigger, "policy/engage")
    seen, again = len(sent), 0.0
    while not safety or len(sent) < seen + 12 or safety[-1].state != ARMED:
        assert time.monotonic() < deadline, safety[-1:]
        held = safety and safety[-1].state != ARMED
        if held and client.service_is_ready() and time.monotonic() >= again:
            # Asked again, as a request may go to the one that was killed.
            client.call_async(Trigger.Request())
            seen, again = len(sent), time.monotonic() + 2.0
        time.sleep(0.05)


def test_a_killed_policy_is_seen_by_its_handle_within_100_ms_and_comes_back_inactive(
    moving: tuple[Any, Path, list[Any]], probe: Any, safety: list[Any]
) -> None:
    from knuckle_msgs.srv import Arm

    run, socket, sent = moving
    second = probe.call(Arm, "hand/arm", commander="stranger")
    assert not second.success
    assert "policy" in second.message
    assert "stranger" in second.message
    pid = run.children()["policy"]
    with Lateness() as late:
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: safety[-1].state == HOLD, lambda: safety[-1:])
        took = time.monotonic() - killed
    print(f"HOLD {took * 1e3:.0f} ms after SIGKILL; the machine wakes threads {late.worst_s * 1e3:.0f} ms late")
    assert safety[-1].reason == "commander 'policy' died"
    assert took <= 0.1 + HOPS * late.worst_s
    ask(socket, "announce hold in 100 ms")
    run.wait_for("process policy: running", times=2, timeout_s=60.0)
    time.sleep(0.5)
    assert safety[-1].state == HOLD
    assert ask(socket, "monitor")["unsafe_writes"] == 0
    ask(socket, "announce free")
    engaged(probe, safety, sent)
    assert ask(socket, "monitor")["unsafe_writes"] == 0


def test_a_recorder_whose_disk_is_full_stops_alone_and_control_goes_on(
    moving: tuple[Any, Path, list[Any]], probe: Any, safety: list[Any], tmp_path: Path, free_domain: int
) -> None:
    from sensor_msgs.msg import Image

    from knuckle_ros.recording.recording_file import RecordingFile

    _, socket, sent = moving
    noise = probe.node.create_publisher(Image, "noise", 5)
    path = tmp_path / "a.mcap"
    words = [sys.executable, "-m", "knuckle.cli", "record", "--out", str(path), "--domain", str(free_domain)]
    # No file of this process may grow beyond 3000 KiB: to a writer that is what a full disk is.
    limited = ["bash", "-c", 'ulimit -f 3000; exec "$@"', "limited", *words]
    before = len(sent)
    with subprocess.Popen(limited, stderr=subprocess.PIPE, text=True) as recorder:
        deadline = time.monotonic() + 60.0
        while recorder.poll() is None:
            assert time.monotonic() < deadline
            noise.publish(Image(height=100, width=1000, encoding="mono8", step=1000, data=os.urandom(100_000)))
            time.sleep(0.02)
        assert recorder.stderr is not None
        said = recorder.stderr.read()
    assert recorder.returncode == 1
    kept = re.search(r"cannot be written: File too large; (\d+) messages are kept", said)
    assert kept is not None, said
    with RecordingFile(path) as recording:
        assert sum(1 for _ in recording.serialized(recording.types)) == int(kept[1])
    assert len(sent) > before
    engaged(probe, safety, sent)
    assert ask(socket, "monitor")["unsafe_writes"] == 0


def test_an_unplugged_port_holds_the_hand_and_is_opened_again_on_an_operators_word(
    moving: tuple[Any, Path, list[Any]], probe: Any, safety: list[Any]
) -> None:
    from std_srvs.srv import Trigger

    _, socket, sent = moving
    ask(socket, "fault bus unplug for 300 ms")
    wait_until(lambda: safety[-1].state == HOLD, lambda: safety[-1:])
    wait_until(lambda: not ask(socket, "status")["faults"], lambda: "plugged in again")
    assert safety[-1].state == HOLD
    assert not any(servo["torque"] and servo["bus_watchdog"] != WATCHDOG_EXPIRED for servo in servos(socket))
    wait_until(lambda: probe.call(Trigger, "hand/rearm").success, lambda: "an operator's word is not taken")
    wait_until(lambda: all(servo["bus_watchdog"] == 10 for servo in servos(socket)), lambda: servos(socket))
    assert not any(servo["torque"] for servo in servos(socket))
    engaged(probe, safety, sent)
    assert all(servo["torque"] for servo in servos(socket))
    assert ask(socket, "monitor")["unsafe_writes"] == 0


def servos(socket: Path) -> list[dict[str, Any]]:
    """How each servo is."""
    return list(ask(socket, "status")["servos"])
