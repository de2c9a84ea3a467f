"""The hand node over servos: virtual ones that turn the simulated world's hand, and a port as a real hand has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210
from knuckle.hardware.virtual.bus import VirtualBus
from knuckle.hardware.virtual.control_socket import ask
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.pty_port import VirtualPort

pytestmark = pytest.mark.ros

VIRTUAL = """
processes:
  world: {}
  policy: {nice: 5}
nodes:
  world: {module: world_node, process: world}
  hand:
    module: hand_node
    process: world
    parameters: {autostart: true, latch_file: LATCH, model: dclaw3, port: virtual, watchdog_s: 5.0}
  policy: {module: graph_nodes.commander, process: policy}
"""
PORT = """
processes: {driver: {}}
nodes:
  hand:
    module: hand_node
    process: driver
    parameters:
      {autostart: true, latch_file: LATCH, model: dclaw3, port: "PATH", calibration: "FILE",
       watchdog_s: 5.0, answer_ms: 200.0}
"""
Start = Callable[..., Any]
HOLD, ARMED = 0, 1


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def safety(probe: Any) -> list[Any]:
    from knuckle_msgs.msg import SafetyState

    from knuckle_ros.bus_qos import LATCHED

    return probe.listen(SafetyState, "safety/state", LATCHED)


@pytest.fixture
def socket(probe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the graph's virtual bus listens."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "knuckle" / f"servo_bus_{probe.context.get_domain_id()}.sock"


@pytest.fixture
def port() -> Iterator[VirtualPort]:
    """A hand's port, as a real one's: nothing of it is in the graph's processes."""
    hand, now = dclaw(3), time.monotonic_ns()
    with VirtualPort(VirtualBus(hand, LaggingJoints(hand, now_ns=now), XM430_W210, now_ns=now)) as port:
        yield port


def test_a_graph_drives_the_simulated_hand_through_servos_and_holds_when_one_falls_silent(
    run_graph: Start, safety: list[Any], socket: Path, tmp_path: Path, probe: Any
) -> None:
    from trajectory_msgs.msg import JointTrajectory

    sent = probe.listen(JointTrajectory, "joint_commands/sent")
    graph = tmp_path / "virtual.yaml"
    graph.write_text(VIRTUAL.replace("LATCH", str(tmp_path / "stop.json")))
    run = run_graph(str(graph))
    wait_until(lambda: bool(safety) and safety[-1].state == ARMED, f"armed: {run.lines}")
    wait_until(lambda: len(sent) > 12, "a second of commands")
    status = ask(socket, "status")
    assert [servo["torque"] for servo in status["servos"]] == [True] * 9
    assert {servo["bus_watchdog"] for servo in status["servos"]} == {10}
    ask(socket, "fault servo:21 silent")
    wait_until(lambda: safety[-1].state == HOLD, "HOLD")
    assert "joint_f2_1" in safety[-1].reason
    run.process.terminate()
    assert run.wait() in (0, 130)
    assert not socket.exists()


def test_a_real_port_is_opened_with_torque_off_and_waits_for_an_operator(
    run_graph: Start, safety: list[Any], tmp_path: Path, port: VirtualPort, probe: Any
) -> None:
    from sensor_msgs.msg import JointState

    joints = probe.listen(JointState, "joint_states")
    file = tmp_path / "calibration.json"
    calibration_file.save(calibration_file.nominal(dclaw(3), XM430_W210.number), file)
    graph = tmp_path / "port.yaml"
    text = PORT.replace("LATCH", str(tmp_path / "stop.json")).replace("FILE", str(file))
    graph.write_text(text.replace("PATH", port.path))
    run = run_graph(str(graph))
    run.wait_for("torque is off; hand/rearm lets it be armed", timeout_s=60.0)
    wait_until(lambda: len(joints) > 5, "joint states")
    assert joints[-1].position[1] == pytest.approx(0.8, abs=0.01)
    assert not any(servo.torque_on for servo in port.bus.servos)
    run.process.terminate()
    run.wait()
    assert not any(servo.torque_on for servo in port.bus.servos)


def test_a_hand_without_calibration_ends_the_run_in_one_line(
    run_graph: Start, tmp_path: Path, port: VirtualPort
) -> None:
    graph = tmp_path / "port.yaml"
    text = PORT.replace("LATCH", str(tmp_path / "stop.json")).replace("FILE", str(tmp_path / "none.json"))
    graph.write_text(text.replace("PATH", port.path))
    run = run_graph(str(graph))
    assert run.wait(90.0) == 2
    assert any("there is no calibration; knuckle calibrate home" in line for line in run.lines)
    assert not any(servo.torque_on for servo in port.bus.servos)


def test_another_hand_than_the_world_s_is_refused(run_graph: Start, tmp_path: Path, socket: Path) -> None:
    graph = tmp_path / "virtual.yaml"
    graph.write_text(VIRTUAL.replace("LATCH", str(tmp_path / "stop.json")))
    run = run_graph(str(graph), "--set", "hand.model=leap", "--set", "world.hand=dclaw3")
    assert run.wait(90.0) == 2
    assert any("the simulated world has a dclaw3, not a leap; --set world.hand=leap" in line for line in run.lines)
