"""The hand on the bus: who may move it, what stops it, and what outlives whom."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros

GRAPH = """
processes:
  world: {}
  policy: {nice: 5}
nodes:
  world: {module: world_node, process: world}
  hand: {module: hand_node, process: world, parameters: {autostart: true, latch_file: LATCH}}
  policy: {module: graph_nodes.commander, process: policy}
"""
Start = Callable[..., Any]
HOLD, ARMED, STOPPED = 0, 1, 3


@pytest.fixture
def latch(tmp_path: Path) -> Path:
    return tmp_path / "state" / "stop.json"


@pytest.fixture
def graph(tmp_path: Path, latch: Path) -> str:
    path = tmp_path / "hand.yaml"
    path.write_text(GRAPH.replace("LATCH", str(latch)))
    return str(path)


@pytest.fixture
def safety(probe: Any) -> list[Any]:
    from knuckle_msgs.msg import SafetyState

    from knuckle_ros.bus_qos import LATCHED

    return probe.listen(SafetyState, "safety/state", LATCHED)


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            pytest.fail(what)
        time.sleep(0.005)


def wait_for_state(safety: list[Any], state: int, timeout_s: float = 20.0) -> float:
    """Wait until the newest safety state is ``state``; the time it took."""
    began = time.monotonic()
    while not (safety and safety[-1].state == state):
        if time.monotonic() - began > timeout_s:
            pytest.fail(f"not in state {state}: {[(m.state, m.reason) for m in safety]}")
        time.sleep(0.001)
    return time.monotonic() - began


def test_a_killed_policy_leaves_the_hand_in_hold_and_comes_back_without_the_lease(
    graph: str, run_graph: Start, probe: Any, safety: list[Any]
) -> None:
    run = run_graph(graph)
    wait_for_state(safety, ARMED)
    assert safety[-1].holder == "policy"
    run.kill("policy")
    # 100 ms is what is asked for; this process and a loaded machine are given some more.
    assert wait_for_state(safety, HOLD) < 1.0
    assert safety[-1].reason == "commander 'policy' died"
    run.wait_for("process policy: running", times=2)
    time.sleep(0.5)
    assert safety[-1].state == HOLD


def test_a_killed_commander_from_outside_the_graph_is_noticed_by_liveliness(
    graph: str, run_graph: Start, probe: Any, safety: list[Any], tmp_path: Path
) -> None:
    from trajectory_msgs.msg import JointTrajectory

    sent = probe.listen(JointTrajectory, "joint_commands/sent")
    run = run_graph(graph, "--set", "policy.engage=false")
    run.wait_for("process world: running")
    outside = tmp_path / "outside.yaml"
    outside.write_text(
        "processes: {far: {}}\nnodes:\n  far: {module: graph_nodes.commander, process: far}\n", encoding="utf-8"
    )
    # The lock keeps a second graph off the domain, so this one is hosted by hand, as a stranger would be.
    from knuckle_ros.graph import load_graph
    from knuckle_ros.graph_process import GraphProcess, process_environment

    stranger_graph = load_graph(str(outside))
    stranger = GraphProcess("far", stranger_graph.processes["far"], stranger_graph.nodes)
    environment = process_environment(probe.context.get_domain_id(), "stranger")
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    stranger.spawn(environment)
    assert stranger.control is not None
    stranger.control.send("go")
    try:
        wait_for_state(safety, ARMED)
        assert safety[-1].holder == "far"
        # DDS counts a publisher as alive from its first sign of life.
        wait_until(lambda: len(sent) > 12, 10.0, "no commands")
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.bury(0.0)
    wait_for_state(safety, HOLD, timeout_s=5.0)
    assert safety[-1].reason == "commander 'far' died"


def test_a_strangers_flood_neither_moves_the_hand_nor_drowns_its_commander(
    graph: str, run_graph: Start, probe: Any, safety: list[Any]
) -> None:
    from knuckle_msgs.msg import HandStatus
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    from knuckle_ros import bus_qos

    status = probe.listen(HandStatus, "hand/status")
    run_graph(graph)
    wait_for_state(safety, ARMED)
    flood = probe.node.create_publisher(JointTrajectory, "joint_commands", bus_qos.commands(0.25))
    while flood.get_subscription_count() == 0:
        time.sleep(0.01)
    wait_until(lambda: bool(status), 10.0, "no status")
    sent, refused = status[-1].sent, status[-1].refused
    wrong = JointTrajectory(joint_names=["elbow"], points=[JointTrajectoryPoint(positions=[1.0])])
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        for _ in range(10):
            flood.publish(wrong)
        time.sleep(0.02)
    assert safety[-1].state == ARMED, safety[-1].reason
    assert status[-1].sent > sent + 12
    assert status[-1].refused > refused + 500


def test_a_huge_message_of_a_stranger_is_refused_unread_and_its_memory_given_back(
    graph: str, run_graph: Start, probe: Any, safety: list[Any]
) -> None:
    import psutil
    from diagnostic_msgs.msg import DiagnosticArray
    from knuckle_msgs.msg import HandStatus
    from trajectory_msgs.msg import JointTrajectory

    from knuckle_ros import bus_qos

    status = probe.listen(HandStatus, "hand/status")
    health = probe.listen(DiagnosticArray, "diagnostics", bus_qos.DIAGNOSTICS)

    def said() -> bool:
        values = [p.value for m in health for s in m.status if s.name == "hand" for p in s.values]
        return any("joint_commands: a message of 1000000" in value for value in values)

    for _ in range(3):
        run = run_graph(graph)
        wait_for_state(safety, ARMED)
        stranger = probe.node.create_publisher(JointTrajectory, "joint_commands", bus_qos.commands(60.0))
        while stranger.get_subscription_count() == 0:
            time.sleep(0.01)
        status.clear()
        wait_until(lambda: bool(status), 20.0, "no status")
        driver = psutil.Process(run.children()["world"])
        before, refused, sent = driver.memory_info().rss, status[-1].refused, status[-1].sent
        for _ in range(3):
            stranger.publish(JointTrajectory(joint_names=["x" * 100_000_000]))
        wait_until(said, 60.0, "never refused")
        go_on = sent + 12
        wait_until(lambda n=go_on: status[-1].sent > n or safety[-1].state == HOLD, 60.0, "nobody is heard any more")
        wait_until(lambda p=driver, n=before: p.memory_info().rss < n + 350e6, 60.0, "memory is not given back")
        assert status[-1].refused == refused
        if safety[-1].state == ARMED:
            return
        # A machine that stands still for a quarter of a second holds the hand with or without a stranger: once more.
        assert "sent no command" in safety[-1].reason, safety[-1].reason
        probe.node.destroy_publisher(stranger)
        run.process.send_signal(signal.SIGINT)
        run.wait()
        health.clear()
    pytest.fail(f"three times in hold: {safety[-1].reason}")


def test_a_clock_that_jumps_by_an_hour_and_simulated_time_change_nothing(
    graph: str, run_graph: Start, probe: Any, safety: list[Any]
) -> None:
    from knuckle_msgs.msg import HandStatus
    from rcl_interfaces.msg import Parameter, ParameterValue
    from rcl_interfaces.srv import SetParameters
    from rosgraph_msgs.msg import Clock

    from knuckle_ros import bus_qos

    status = probe.listen(HandStatus, "hand/status")
    run_graph(graph)
    wait_for_state(safety, ARMED)
    clock = probe.node.create_publisher(Clock, "/clock", bus_qos.JOINT_STATES)
    wait_until(lambda: bool(status), 20.0, "no status")
    for simulated in (True, False, True):
        value = ParameterValue(type=1, bool_value=simulated)
        answer = probe.call(
            SetParameters, "hand/set_parameters", parameters=[Parameter(name="use_sim_time", value=value)]
        )
        assert answer.results[0].successful
        for seconds in (10**6, 10**6 + 3600, 10**6 - 3600, 0):
            message = Clock()
            message.clock.sec = seconds
            clock.publish(message)
            seen = status[-1].sent
            wait_until(lambda seen=seen: status[-1].sent > seen + 2, 20.0, "commands are not sent any more")
    assert safety[-1].state == ARMED, safety[-1].reason
    assert status[-1].bad_states == 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("hand.latch=x", "unknown key"),
        ("hand.joint_state_rate=5000", "hand.joint_state_rate"),
        ("hand.watchdog_s=fast", "hand.watchdog_s"),
    ],
)
def test_a_bad_setting_of_the_hand_is_refused_with_its_key_before_anything_runs(
    graph: str, run_graph: Start, setting: str, said: str
) -> None:
    run = run_graph(graph, "--set", setting)
    assert run.wait() == 2
    assert said in run.lines[-1]
    assert "hand." in run.lines[-1]


def test_virtual_servos_are_watched_a_dead_watchdog_holds_and_the_status_says_so(
    graph: str, run_graph: Start, probe: Any, safety: list[Any]
) -> None:
    from knuckle_msgs.msg import HandStatus
    from knuckle_msgs.srv import Arm

    status = probe.listen(HandStatus, "hand/status")
    run = run_graph(graph, "--set", "hand.port=virtual")
    wait_for_state(safety, ARMED, timeout_s=60.0)
    wait_until(lambda: bool(status), 20.0, "no status")
    assert list(status[-1].effort_limit) == pytest.approx([2.6] * 9)
    # They are asked for in turns, and the first status may come before all have answered.
    wait_until(lambda: len(status[-1].temperature) == 9, 20.0, "no temperatures")
    for child in descendants(run.children()["world"]):
        assert any("watchdog.py" in word for word in command_line(child))
        os.kill(child, signal.SIGKILL)
    assert wait_for_state(safety, HOLD) < 5.0
    assert safety[-1].reason == "the watchdog died; restart the driver"
    wait_until(lambda: "watchdog" in status[-1].problem, 20.0, "no word of it in the status")
    assert not probe.call(Arm, "hand/arm", commander="page").success


def descendants(parent: int) -> list[int]:
    """Process ids whose parent is ``parent``, whichever of its threads started them."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def command_line(pid: int) -> list[str]:
    """The words that a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def test_a_silent_commander_stops_the_clock_for_a_moment_and_then_the_hand(
    graph: str, run_graph: Start, probe: Any, safety: list[Any]
) -> None:
    from std_msgs.msg import Bool

    run_graph(graph)
    wait_for_state(safety, ARMED)
    silence = probe.node.create_publisher(Bool, "commander/silent", 10)
    while silence.get_subscription_count() == 0:
        time.sleep(0.01)
    time.sleep(0.3)
    assert safety[-1].state == ARMED
    silence.publish(Bool(data=True))
    took = wait_for_state(safety, HOLD)
    assert "sent no command" in safety[-1].reason
    assert 1.0 < took < 6.0


def test_a_dead_hand_process_comes_back_inactive_in_hold_until_it_is_rearmed(
    graph: str, run_graph: Start, probe: Any, safety: list[Any]
) -> None:
    from knuckle_msgs.srv import Arm
    from sensor_msgs.msg import JointState
    from std_srvs.srv import Trigger

    joints = probe.listen(JointState, "joint_states")
    run = run_graph(graph)
    wait_for_state(safety, ARMED)
    wait_until(lambda: bool(joints), 10.0, "no joint state")
    last = joints[-1].header.stamp
    safety.clear()
    run.kill("world")
    wait_for_state(safety, HOLD)
    run.wait_for("process world: running", times=2)
    refused = probe.call(Arm, "hand/arm", commander="policy")
    assert not refused.success
    assert refused.message == "hand/arm: the hand node is inactive; hand/rearm activates it"
    assert probe.call(Trigger, "hand/rearm").success
    before = (last.sec, last.nanosec)
    newer = lambda: (joints[-1].header.stamp.sec, joints[-1].header.stamp.nanosec) > before  # noqa: E731
    wait_until(newer, 10.0, "no newer joint state")
    assert probe.call(Arm, "hand/arm", commander="policy").success


def test_a_latched_stop_survives_the_death_of_the_driver(
    graph: str, run_graph: Start, probe: Any, safety: list[Any], latch: Path
) -> None:
    from knuckle_msgs.srv import Arm
    from std_srvs.srv import Trigger

    run = run_graph(graph)
    wait_for_state(safety, ARMED)
    assert probe.call(Trigger, "emergency_stop").success
    assert wait_for_state(safety, STOPPED) < 1.0
    assert latch.exists()
    safety.clear()
    run.kill("world")
    wait_for_state(safety, STOPPED)
    assert safety[-1].latched
    assert not probe.call(Arm, "hand/arm", commander="policy").success
    assert probe.call(Trigger, "hand/rearm").success
    wait_for_state(safety, HOLD)
    assert not latch.exists()
    assert probe.call(Arm, "hand/arm", commander="policy").success


def test_only_true_stops_on_the_topic(graph: str, run_graph: Start, probe: Any, safety: list[Any]) -> None:
    from std_msgs.msg import Bool, String

    from knuckle_ros.bus_qos import LATCHED

    run_graph(graph)
    wait_for_state(safety, ARMED)
    description = probe.listen(String, "robot_description", LATCHED)
    wait_until(lambda: bool(description), 10.0, "no robot description")
    assert description[-1].data.startswith('<robot name="dclaw3">')
    stop = probe.node.create_publisher(Bool, "emergency_stop", 10)
    while stop.get_subscription_count() == 0:
        time.sleep(0.01)
    stop.publish(Bool(data=False))
    time.sleep(0.3)
    assert safety[-1].state == ARMED
    stop.publish(Bool(data=True))
    assert wait_for_state(safety, STOPPED) < 1.0


def test_a_reset_of_the_world_leaves_the_hand_armed_and_deactivation_does_not(
    graph: str, run_graph: Start, probe: Any, safety: list[Any]
) -> None:
    from geometry_msgs.msg import PoseStamped
    from knuckle_msgs.srv import Arm
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from std_srvs.srv import Trigger

    poses = probe.listen(PoseStamped, "object/pose")
    run_graph(graph)
    wait_for_state(safety, ARMED)
    wait_until(lambda: bool(poses), 10.0, "no pose of the object")
    before = poses[-1].pose.position
    answer = probe.call(Trigger, "world/reset")
    assert (answer.success, answer.message) == (True, "hammer on the table anew")
    seen = len(poses)
    wait_until(lambda: len(poses) > seen + 3, 10.0, "no poses after the reset")
    after = poses[-1].pose.position
    assert (after.x, after.y) != (before.x, before.y)
    assert safety[-1].state == ARMED
    stamps = [(p.header.stamp.sec, p.header.stamp.nanosec) for p in poses]
    assert stamps == sorted(set(stamps))
    deactivate = Transition(id=Transition.TRANSITION_DEACTIVATE)
    assert probe.call(ChangeState, "hand/change_state", transition=deactivate).success
    wait_for_state(safety, HOLD)
    assert not probe.call(Arm, "hand/arm", commander="policy").success


def test_an_unknown_object_ends_the_run_with_one_line(graph: str, run_graph: Start) -> None:
    run = run_graph(graph, "--set", "world.object_name=hamer")
    assert run.wait() == 2
    assert "unknown object 'hamer'; did you mean 'hammer'?" in run.lines[-1]


def test_a_hand_without_a_world_in_its_process_is_refused(tmp_path: Path, run_graph: Start) -> None:
    path = tmp_path / "lonely.yaml"
    path.write_text("processes: {p: {}}\nnodes:\n  hand: {module: hand_node, process: p}\n")
    run = run_graph(str(path))
    assert run.wait() == 2
    right = "a world_node listed before it, in the same process"
    assert run.lines[-1] == f"knuckle: hand: no simulated world in process 'p'; {right}"
