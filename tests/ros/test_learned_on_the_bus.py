"""A learned policy as the policy node: it takes a goal, moves the hand at the control rate, and ends the goal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.export import Actor, export_policy
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.sim.reorient.observation import ReorientObservation

pytestmark = pytest.mark.ros

GRAPH = """
nodes:
  world: {module: world_node, process: world, parameters: {object_name: duck}}
  hand: {module: hand_node, process: world, parameters: {autostart: true, latch_file: LATCH}}
  policy: {module: policy_node, process: policy, parameters: {engage: true}}
processes:
  world: {}
  policy: {}
"""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def values_of(health: list[Any], node: str) -> dict[str, str]:
    """What ``node`` last told of itself."""
    told = [status for message in health for status in message.status if status.name == node]
    return {pair.key: pair.value for pair in told[-1].values} if told else {}


@pytest.fixture
def curling(tmp_path: Path) -> Path:
    """A policy that moves the first joint and no other, whatever it sees."""
    hand = hand_spec("dclaw3")
    width = ReorientObservation(hand).width
    bias = np.eye(1, hand.dof)[0] * 0.5
    normaliser = Normaliser(np.zeros(width), np.ones(width), 10.0)
    actor = Actor(normaliser, [(np.zeros((hand.dof, width)), bias)], lambda seen: np.tile(bias, (len(seen), 1)))
    folder, seen = tmp_path / "curling", np.zeros((1, width))
    export_policy(folder, hand, actor, name="curling", observed=seen, training={}, data="none")
    return folder


def test_a_learned_policy_turns_goals_into_commands_on_the_bus(
    tmp_path: Path, curling: Path, run_graph: Callable[..., Any], probe: Any
) -> None:
    from diagnostic_msgs.msg import DiagnosticArray
    from knuckle_msgs.action import Reorient
    from rclpy.action.client import ActionClient
    from std_msgs.msg import String
    from trajectory_msgs.msg import JointTrajectory

    from knuckle_ros.bus_qos import DIAGNOSTICS, LATCHED

    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH.replace("LATCH", str(tmp_path / "stop.json")))
    run = run_graph(str(path), "--set", f"policy.model={curling}")
    status = probe.listen(String, "reorient/status", LATCHED)
    commands = probe.listen(JointTrajectory, "joint_commands")
    health = probe.listen(DiagnosticArray, "diagnostics", DIAGNOSTICS)
    wait_until(lambda: bool(status) and "armed" in status[-1].data, f"the policy never got the lease: {run.lines}")
    actions = ActionClient(probe.node, Reorient, "reorient")
    assert actions.wait_for_server(20.0)
    goal = Reorient.Goal(object_name="duck", tolerance=0.4, time_limit=1.0)
    goal.orientation.x, goal.orientation.w = 1.0, 0.0
    handle = probe.answer(lambda: actions.send_goal_async(goal))
    assert handle.accepted
    begun = len(commands)
    assert probe.answer(handle.get_result_async).result.outcome == "timed_out"
    targets = np.array([message.points[0].positions for message in commands[begun:]])
    moved = np.ptp(targets, axis=0)
    assert len(targets) >= 12 and moved[0] > 0.2 and moved[0] == moved.max()
    actions.destroy()
    wait_until(lambda: "deadline_misses" in values_of(health, "policy"), "deadline misses are not told")
    told = values_of(health, "policy")
    assert int(told["deadline_misses"]) >= 0 and 0.0 <= float(told["deadline_miss_share_10s"]) <= 1.0
