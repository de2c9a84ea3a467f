"""Faults of docs/faults.md that need a whole graph, over virtual servos whose monitor judges every write."""

from __future__ import annotations

import hashlib
import json
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

import numpy as np
import pytest

from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import WATCHDOG_EXPIRED, XM430_W210
from knuckle.hardware.virtual.control_socket import ask
from knuckle.hardware.virtual.monitor import TORQUE_ENABLE, ServoMonitor
from knuckle.hardware.virtual.pty_port import VirtualPort
from knuckle.policy.learned.export import Actor, export_policy
from knuckle.policy.learned.onnx_graph import Normaliser, actor_graph
from knuckle.sim.reorient.observation import ReorientObservation

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
METAL = """
processes: {driver: {}, policy: {}}
nodes:
  hand:
    module: hand_node
    process: driver
    parameters: {latch_file: FOLDER/stop.json, model: dclaw3, port: PATH, calibration: FOLDER/calibration.json,
      watchdog_s: 10.0, answer_ms: 200.0, bus_watchdog_ms: 1000}
  policy: POLICY
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


@pytest.fixture
def safety(probe: Any) -> list[Any]:
    from knuckle_msgs.msg import SafetyState

    from knuckle_ros.bus_qos import LATCHED

    return probe.listen(SafetyState, "safety/state", LATCHED)


@pytest.fixture
def moving(
    run_graph: Start, probe: Any, safety: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Path, list[Any]]:
    """A graph whose policy moves virtual servos; its run, the bus's socket, and what was sent."""
    from trajectory_msgs.msg import JointTrajectory

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    sent = probe.listen(JointTrajectory, "joint_commands/sent")
    graph = tmp_path / "moving.yaml"
    graph.write_text(MOVING.replace("FOLDER", str(tmp_path)))
    run = run_graph(str(graph))
    socket = tmp_path / "knuckle" / f"servo_bus_{probe.context.get_domain_id()}.sock"
    engaged(probe, safety, sent)
    return run, socket, sent


def engaged(probe: Any, safety: list[Any], sent: list[Any]) -> None:
    """Armed and obeyed for a second. On a busy machine the first commands may be too old, and the hand hold."""
    from std_srvs.srv import Trigger

    deadline = time.monotonic() + 90.0
    client = probe.node.create_client(Trigger, "policy/engage")
    seen = len(sent)
    while not safety or len(sent) < seen + 12 or safety[-1].state != ARMED:
        assert time.monotonic() < deadline, safety[-1:]
        if safety and safety[-1].state != ARMED and client.service_is_ready():
            # Asked again, as a request may go to the one that was killed.
            client.call_async(Trigger.Request())
            seen = len(sent)
        time.sleep(2.0)


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


# Over a port as a real one's: nothing of it is in the graph's processes.


def metal(folder: Path, port: VirtualPort, policy: str) -> str:
    """A graph that drives ``port`` as if it were metal."""
    calibration_file.save(calibration_file.nominal(dclaw(3), XM430_W210.number), folder / "calibration.json")
    graph = folder / "metal.yaml"
    graph.write_text(METAL.replace("FOLDER", str(folder)).replace("PATH", port.path).replace("POLICY", policy))
    return str(graph)


def judged(port: VirtualPort) -> ServoMonitor:
    assert port.monitor is not None
    return port.monitor


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The folder of a policy that is in order."""
    hand = dclaw(3)
    width, bias = ReorientObservation(hand).width, np.zeros(hand.dof)
    actor = Actor(
        Normaliser(np.zeros(width), np.ones(width), 10.0),
        [(np.zeros((hand.dof, width)), bias)],
        lambda seen: np.tile(bias, (len(seen), 1)),
    )
    folder = tmp_path / "checkpoint"
    export_policy(folder, hand, actor, name="still", observed=np.zeros((1, width)), training={}, data="none")
    return folder


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "policy.onnx").read_bytes())
    data[len(data) // 2] ^= 4
    (folder / "policy.onnx").write_bytes(data)


def poison_the_weights(folder: Path) -> None:
    width = ReorientObservation(dclaw(3)).width
    weights = np.zeros((9, width))
    weights[4, 7] = np.nan
    network = actor_graph(Normaliser(np.zeros(width), np.ones(width), 10.0), [(weights, np.zeros(9))])
    (folder / "policy.onnx").write_bytes(network)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "sha256": hashlib.sha256(network).hexdigest()}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(flip_a_bit, "the weights do not match", marks=pytest.mark.slow),
        (poison_the_weights, "not finite"),
    ],
)
def test_a_checkpoint_that_is_broken_ends_the_run_before_any_torque(
    spoil: Callable[[Path], None], said: str, run_graph: Start, port: VirtualPort, tmp_path: Path, checkpoint: Path
) -> None:
    spoil(checkpoint)
    policy = f"{{module: policy_node, process: policy, parameters: {{model: {checkpoint}, engage: true}}}}"
    run = run_graph(metal(tmp_path, port, policy))
    assert run.wait(90.0) == 2
    assert said in run.lines[-1]
    assert str(checkpoint) in run.lines[-1]
    assert not [write for write in judged(port).writes(TORQUE_ENABLE) if write.value]
    assert judged(port).unsafe_writes == 0
