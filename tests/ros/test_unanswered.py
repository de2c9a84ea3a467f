"""A question that nobody answers, as of a driver that has just been killed, blocks nobody for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros

GRAPH = """
processes: {policy: {}}
nodes:
  policy: {module: policy_node, process: policy, parameters: {model: nothing}}
"""


def wait_until(condition: Callable[[], bool], what: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)


@pytest.fixture
def deaf(probe: Any) -> Iterator[Any]:
    """A node that is there and that nobody serves: it hears, and never answers."""
    from rclpy.node import Node

    node = Node("deaf", context=probe.context)
    yield node
    node.destroy_node()


def test_a_policy_whose_wish_for_the_lease_was_lost_says_so_and_asks_again_when_told(
    tmp_path: Path, run_graph: Callable[..., Any], probe: Any, deaf: Any
) -> None:
    from knuckle_msgs.srv import Arm
    from sensor_msgs.msg import JointState
    from std_msgs.msg import String
    from std_srvs.srv import Trigger
    from trajectory_msgs.msg import JointTrajectory

    from knuckle.hardware.spec.hands import hand_spec
    from knuckle_ros import bus_qos

    def answer(request: Any, response: Any) -> Any:
        response.success, response.lease = True, "one"
        return response

    graph = tmp_path / "policy.yaml"
    graph.write_text(GRAPH)
    status = probe.listen(String, "reorient/status", bus_qos.LATCHED)
    probe.listen(JointTrajectory, "joint_commands", bus_qos.commands(0.25))
    joints = probe.node.create_publisher(JointState, "joint_states", bus_qos.JOINT_STATES)
    lost = deaf.create_service(Arm, "hand/arm", lambda request, response: response)
    run = run_graph(str(graph))
    names = list(hand_spec("dclaw3").joint_names)

    def engaged(word: str) -> bool:
        message = JointState(name=names, position=[0.0] * len(names), velocity=[0.0] * len(names))
        message.header.stamp = probe.node.get_clock().now().to_msg()
        joints.publish(message)
        return bool(status) and word in status[-1].data

    def said() -> object:
        return status[-3:], run.lines[-5:]

    assert probe.call(Trigger, "policy/engage", timeout_s=60.0).success
    wait_until(lambda: engaged("hand/arm: no answer in 5 s"), said)
    deaf.destroy_service(lost)
    probe.node.create_service(Arm, "hand/arm", answer)
    assert probe.call(Trigger, "policy/engage").success
    wait_until(lambda: engaged("idle: armed"), said)


def test_a_button_that_nobody_answers_says_so_and_works_again(probe: Any, deaf: Any) -> None:
    from std_srvs.srv import Trigger

    from knuckle_ros.page import panel
    from knuckle_ros.page_buttons import PageButtons

    def answer(request: Any, response: Any) -> Any:
        response.success, response.message = True, "active"
        return response

    told: list[tuple[str, str, bool]] = []
    buttons = PageButtons(probe.node)

    def serve(wanted: tuple[str, str, bool]) -> bool:
        buttons.serve(lambda *words: told.append(words))
        return bool(told) and told[-1] == wanted

    lost = deaf.create_service(Trigger, "hand/rearm", lambda request, response: response)
    wait_until(lambda: buttons._questions[panel.REARM].offered, lambda: "the service is not seen")
    buttons.press(panel.REARM)
    wait_until(lambda: serve((panel.REARM, "no answer from hand/rearm in 5 s", False)), lambda: told)
    deaf.destroy_service(lost)
    probe.node.create_service(Trigger, "hand/rearm", answer)

    def pressed_again() -> bool:
        # Until the new server is found, a press may say that nobody offers it.
        buttons.press(panel.REARM)
        return serve((panel.REARM, "active", True))

    wait_until(pressed_again, lambda: told)
