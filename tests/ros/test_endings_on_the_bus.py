"""Row 12 of docs/faults.md as a matrix: each way in which a driver can end, at each stage that it can be in.

What the servos do is judged on the bytes that reach them; the port outlives the driver, as a real one's does.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import WATCHDOG_EXPIRED, XM430_W210
from knuckle.hardware.virtual.pty_port import VirtualPort
from knuckle_ros.run_members import MARK, members

pytestmark = [pytest.mark.ros, pytest.mark.timeout(900)]

GRAPH = """
processes: {driver: {}}
nodes:
  hand:
    module: hand_node
    process: driver
    parameters: {latch_file: FOLDER/stop.json, model: dclaw3, port: PATH, calibration: FOLDER/calibration.json,
      watchdog_s: 10.0, answer_ms: 200.0, bus_watchdog_ms: 1000}
  stumbler: {module: graph_nodes.stumbler, process: driver}
"""
ARMED = 1
WAITING = "torque is off; hand/rearm lets it be armed"
Start = Callable[..., Any]


def wait_until(condition: Callable[[], bool], what: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.001)


class Operator:
    """Leads the driver of a graph to a stage, over the bus."""

    def __init__(self, run: Any, probe: Any, port: VirtualPort) -> None:
        from knuckle_msgs.msg import SafetyState
        from sensor_msgs.msg import JointState
        from trajectory_msgs.msg import JointTrajectory

        from knuckle_ros import bus_qos

        self.run, self.probe, self.port, self.starts = run, probe, port, 0
        self.lease = ""
        self._commands = probe.node.create_publisher(JointTrajectory, "joint_commands", bus_qos.commands(0.25))
        self.sent = probe.listen(JointTrajectory, "joint_commands/sent")
        self.safety = probe.listen(SafetyState, "safety/state", bus_qos.LATCHED)
        probe.node.create_subscription(JointState, "joint_states", self._answer, bus_qos.JOINT_STATES)

    def _answer(self, message: Any) -> None:
        """Command what is measured, while there is a lease to show."""
        from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

        from knuckle_ros.wire import duration_msg

        if self.lease:
            command = JointTrajectory(header=message.header, joint_names=message.name)
            command.header.frame_id = self.lease
            command.points = [
                JointTrajectoryPoint(positions=message.position, time_from_start=duration_msg(250_000_000))
            ]
            self._commands.publish(command)

    def torque(self) -> bool:
        return any(servo.torque_on for servo in self.port.bus.servos)

    def begun(self) -> None:
        """The driver has started once more, and waits for an operator."""
        self.starts += 1
        self.run.wait_for(WAITING, times=self.starts, timeout_s=90.0)
        assert not self.torque()

    def armed(self, *, obeyed: bool) -> None:
        """Armed by us; with ``obeyed`` until commands have reached the servos, else only just."""
        from knuckle_msgs.srv import Arm

        self.ask("hand/rearm", already="nothing is latched")
        deadline, heard = time.monotonic() + 120.0, len(self.sent)
        while not self.torque() or (obeyed and len(self.sent) < heard + 5):
            assert time.monotonic() < deadline, (self.safety[-1:], self.run.lines)
            # On a busy machine commands may be too old: the hand then holds, and is armed again.
            if not self.safety or self.safety[-1].state != ARMED:
                answer, _ = self.probe.call_again(Arm, "hand/arm", timeout_s=90.0, commander="operator")
                self.lease = answer.lease if obeyed else ""
            time.sleep(0.1 if obeyed else 0.005)

    def ask(self, service: str, already: str = "") -> None:
        """Have it done; ``already`` is how a second question is refused after one whose answer was lost."""
        from std_srvs.srv import Trigger

        self.lease = ""
        answer, asked = self.probe.call_again(Trigger, service, timeout_s=90.0)
        assert answer.success or (already and asked > 1 and already in answer.message), (asked, answer)


def torque_off(operator: Operator) -> None:
    """Nobody has armed it."""


def rising(operator: Operator) -> None:
    """Torque has just come on."""
    operator.armed(obeyed=False)


def commanded(operator: Operator) -> None:
    """Targets come and are followed."""
    operator.armed(obeyed=True)


def holding(operator: Operator) -> None:
    """Torque on, no lease."""
    operator.armed(obeyed=True)
    operator.ask("hand/hold")


def releasing(operator: Operator) -> None:
    """Torque is on its way off."""
    operator.armed(obeyed=True)
    operator.ask("hand/release")


def stopped(operator: Operator) -> None:
    """Torque on, an emergency stop latched."""
    operator.armed(obeyed=True)
    operator.ask("emergency_stop")


STAGES = (torque_off, rising, commanded, holding, releasing, stopped)


@pytest.fixture
def operator(
    run_graph: Start, probe: Any, port: VirtualPort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Operator:
    """The operator of a driver that has begun."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    calibration_file.save(calibration_file.nominal(dclaw(3), XM430_W210.number), tmp_path / "calibration.json")
    graph = tmp_path / "driver.yaml"
    graph.write_text(GRAPH.replace("FOLDER", str(tmp_path)).replace("PATH", port.path))
    made = Operator(run_graph(str(graph)), probe, port)
    made.begun()
    return made


def unharmed(port: VirtualPort) -> None:
    assert port.monitor is not None
    assert port.monitor.unsafe_writes == 0, port.monitor.violations()[:3]


def stumble(operator: Operator) -> None:
    """An exception in a callback of the driver's process."""
    from std_msgs.msg import Empty

    publisher = operator.probe.node.create_publisher(Empty, "stumble", 10)
    wait_until(lambda: publisher.get_subscription_count() > 0, lambda: "no stumbler")
    publisher.publish(Empty())
    operator.run.wait_for("ValueError: a bug in a callback", times=operator.starts, timeout_s=60.0)


@pytest.mark.slow
@pytest.mark.parametrize("stages", [STAGES[:3], STAGES[3:]], ids=["first stages", "last stages"])
def test_an_exception_in_the_driver_takes_torque_off_at_every_stage_and_it_comes_back_inactive(
    stages: tuple[Callable[[Operator], None], ...], operator: Operator, port: VirtualPort
) -> None:
    for stage in stages:
        stage(operator)
        stumble(operator)
        operator.lease = ""
        wait_until(lambda: not operator.torque(), lambda: operator.run.lines)
        operator.begun()
    operator.run.process.send_signal(signal.SIGINT)
    operator.run.wait(60.0)
    assert not operator.torque()
    unharmed(port)


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param((commanded,), id="under commands"),
        pytest.param(STAGES[:2], id="first stages", marks=pytest.mark.slow),
        pytest.param(STAGES[3:], id="last stages", marks=pytest.mark.slow),
    ],
)
def test_a_driver_that_is_killed_leaves_servos_that_stand_still_at_every_stage_and_comes_back_inactive(
    stages: tuple[Callable[[Operator], None], ...], operator: Operator, port: VirtualPort
) -> None:
    for stage in stages:
        stage(operator)
        operator.run.kill("driver")
        operator.lease = ""
        driven = [servo for servo in port.bus.servos if servo.torque_on]
        wait_until(
            lambda left=driven: all(not s.torque_on or s.value("bus_watchdog") == WATCHDOG_EXPIRED for s in left),
            lambda: operator.run.lines,
        )
        where = [servo.value("present_position") for servo in port.bus.servos]
        # It opens the port with torque off.
        operator.begun()
        assert [servo.value("present_position") for servo in port.bus.servos] == pytest.approx(where, abs=2)
    operator.run.process.send_signal(signal.SIGINT)
    operator.run.wait(60.0)
    assert not operator.torque()
    unharmed(port)


ENDINGS = [
    ("driver", signal.SIGINT),
    ("driver", signal.SIGTERM),
    ("supervisor", signal.SIGINT),
    ("supervisor", signal.SIGTERM),
    ("supervisor", signal.SIGKILL),
]
QUICK = [("supervisor", signal.SIGINT), ("supervisor", signal.SIGKILL)]
CELLS = [
    pytest.param(
        *ending,
        stage,
        id=f"{ending[0]} {ending[1].name} {stage.__name__}",
        marks=[] if stage is commanded and ending in QUICK else pytest.mark.slow,
    )
    for ending in ENDINGS
    for stage in STAGES
]


@pytest.mark.parametrize(("who", "number", "stage"), CELLS)
def test_a_signal_takes_torque_off_at_every_stage_and_leaves_no_process(
    who: str, number: signal.Signals, stage: Callable[[Operator], None], operator: Operator, port: VirtualPort
) -> None:
    run = operator.run
    stage(operator)
    driver = run.children()["driver"]
    mark = Path(f"/proc/{driver}/environ").read_bytes().split(f"{MARK}=".encode())[1].split(b"\0")[0].decode()
    os.kill(driver if who == "driver" else run.process.pid, number)
    wait_until(lambda: not operator.torque(), lambda: run.lines)
    if who == "driver":
        # One that was told to end is not started again, and a graph of nothing else ends with it.
        run.process.send_signal(signal.SIGINT)
    run.wait(60.0)
    assert not operator.torque()
    assert members(mark) == []
    unharmed(port)
