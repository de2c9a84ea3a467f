"""The action ``reorient`` over real processes: what it refuses, how goals end, and what a stop does to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros

GRAPH = """
nodes:
  world: {module: world_node, process: world, parameters: {object_name: duck}}
  hand: {module: hand_node, process: world, parameters: {autostart: true, latch_file: LATCH}}
  policy: {module: policy_node, process: policy, parameters: {model: nothing, engage: true}}
processes:
  world: {}
  policy: {}
"""
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


class Client:
    """A user's action client, and what the policy says of itself."""

    def __init__(self, probe: Any) -> None:
        from knuckle_msgs.action import Reorient
        from rclpy.action.client import ActionClient
        from std_msgs.msg import String

        from knuckle_ros.bus_qos import LATCHED

        self.probe, self.kind = probe, Reorient
        self.actions = ActionClient(probe.node, Reorient, "reorient")
        self.status = probe.listen(String, "reorient/status", LATCHED)
        self.feedback: list[Any] = []

    def send(self, xyzw: tuple[float, ...] = UPRIGHT, **fields: Any) -> Any:
        """The handle of a goal; ``accepted`` says whether the server took it."""
        goal = self.kind.Goal(**{"object_name": "duck", "tolerance": 3.2, "time_limit": 1.0, **fields})
        goal.orientation.x, goal.orientation.y, goal.orientation.z, goal.orientation.w = xyzw
        return self.probe.answer(lambda: self.actions.send_goal_async(goal, feedback_callback=self.feedback.append))

    def result(self, handle: Any) -> Any:
        """How the goal ended."""
        return self.probe.answer(handle.get_result_async).result

    def said(self, text: str) -> bool:
        """Whether the policy's newest word holds ``text``."""
        return bool(self.status) and text in self.status[-1].data


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def client(tmp_path: Path, run_graph: Callable[..., Any], probe: Any) -> Iterator[Client]:
    path = tmp_path / "reorient.yaml"
    path.write_text(GRAPH.replace("LATCH", str(tmp_path / "stop.json")))
    run = run_graph(str(path))
    client = Client(probe)
    wait_until(lambda: client.said("armed"), f"the policy never got the lease: {run.lines}")
    yield client
    client.actions.destroy()


def test_goals_that_cannot_be_taken_are_refused_with_the_reason(client: Client) -> None:
    for reason, xyzw, fields in (
        ("goal orientation: the quaternion is zero", (0.0, 0.0, 0.0, 0.0), {}),
        ("the quaternion's norm is 2, not 1", (0.0, 0.0, 0.0, 2.0), {}),
        ("reorient.object_name: no hammer here; duck", UPRIGHT, {"object_name": "hammer"}),
        ("unknown object 'dck'; did you mean 'duck'", UPRIGHT, {"object_name": "dck"}),
        ("goal tolerance: 0.0 is not positive", UPRIGHT, {"tolerance": 0.0}),
        ("goal time limit: nan is not positive", UPRIGHT, {"time_limit": float("nan")}),
    ):
        assert not client.send(xyzw, **fields).accepted
        wait_until(lambda line=reason: client.said(line), f"never said: {reason}; {client.status[-1].data}")


def test_a_goal_ends_with_its_angle_and_a_second_one_is_refused_meanwhile(client: Client) -> None:
    handle = client.send()
    assert handle.accepted and not client.send().accepted
    result = client.result(handle)
    assert result.success and result.outcome == "succeeded" and 0.0 <= result.angle <= 3.1416
    assert 1.0 <= result.duration < 1.2 and result.real_time_factor > 0.0
    assert client.feedback and client.feedback[-1].feedback.elapsed <= 1.7
    assert client.result(client.send(tolerance=1e-6)).outcome == "timed_out"


def test_a_stop_ends_the_goal_as_held_and_only_rearm_and_engage_lead_back(client: Client) -> None:
    from std_srvs.srv import Trigger

    handle = client.send(time_limit=60.0)
    assert handle.accepted
    assert client.probe.call(Trigger, "emergency_stop").success
    assert client.result(handle).outcome == "held"
    assert not client.send().accepted
    client.probe.call(Trigger, "policy/engage")
    wait_until(lambda: client.said("stop"), f"armed in spite of the stop: {client.status[-1].data}")
    assert client.probe.call(Trigger, "hand/rearm").success
    client.probe.call(Trigger, "policy/engage")
    wait_until(lambda: client.said("armed") and not client.said("not armed"), "not armed again")
    assert client.result(client.send()).outcome == "succeeded"


def test_a_cancelled_goal_ends_and_the_next_is_taken(client: Client) -> None:
    handle = client.send(time_limit=60.0)
    client.probe.answer(handle.cancel_goal_async)
    assert client.result(handle).outcome == "cancelled"
    wait_until(lambda: client.said("cancelled"), "the policy never became idle")
    assert client.send().accepted


def test_neither_a_second_engage_nor_a_strangers_words_end_a_goal(client: Client) -> None:
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import JointState
    from std_srvs.srv import Trigger

    joints = client.probe.node.create_publisher(JointState, "joint_states", 10)
    poses = client.probe.node.create_publisher(PoseStamped, "object/pose", 10)
    handle = client.send(time_limit=2.0)
    assert client.probe.call(Trigger, "policy/engage").message == "armed already"
    nonsense = PoseStamped()
    nonsense.pose.orientation.w = 0.0
    for _ in range(10):
        joints.publish(JointState(name=["elbow"], position=[1.0]))
        poses.publish(nonsense)
        time.sleep(0.02)
    assert not client.send().accepted
    assert not any("refused" in word.data for word in client.status)
    assert client.result(handle).outcome == "succeeded"
