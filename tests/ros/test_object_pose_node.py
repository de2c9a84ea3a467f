"""The perceived object on the bus: near the truth, of the control cycles' stamps, and enough for a policy to run on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core import rotations

pytestmark = pytest.mark.ros

GRAPH = """
processes: {world: {shared_memory: large}, perception: {}, object: {}, policy: {}}
nodes:
  world: {module: world_node, process: world, parameters: {object_name: truck}, remappings: {object/pose: object/truth}}
  hand: {module: hand_node, process: world, parameters: {autostart: true, latch_file: LATCH}}
  camera: {module: camera_node, process: world}
  perception: {module: perception_node, process: perception}
  object: {module: object_pose_node, process: object}
  policy: {module: policy_node, process: policy, parameters: {model: nothing, engage: true}}
"""


def until(condition: Callable[[], bool], what: Callable[[], Any], timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def test_a_policy_runs_on_the_perceived_pose_which_is_near_the_truth(
    tmp_path: Path, run_graph: Callable[..., Any], probe: Any
) -> None:
    from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
    from knuckle_msgs.action import Reorient
    from rclpy.action.client import ActionClient
    from std_msgs.msg import String

    from knuckle_ros.bus_qos import LATCHED
    from knuckle_ros.wire import pose_of, stamp_ns

    path = tmp_path / "perceived.yaml"
    path.write_text(GRAPH.replace("LATCH", str(tmp_path / "stop.json")))
    poses, truths = probe.listen(PoseStamped, "object/pose"), probe.listen(PoseStamped, "object/truth")
    guesses = probe.listen(PoseWithCovarianceStamped, "object/pose_with_covariance")
    status = probe.listen(String, "reorient/status", LATCHED)
    run = run_graph(str(path))
    until(lambda: bool(status) and "armed" in status[-1].data, lambda: run.lines)
    # The probe finds each topic in its own time; what it is to compare begins when it hears both.
    until(lambda: bool(poses) and bool(truths), lambda: (len(poses), len(truths), run.lines[-5:]))
    client = ActionClient(probe.node, Reorient, "reorient")
    assert client.wait_for_server(20.0)
    goal = Reorient.Goal(object_name="truck", tolerance=3.2, time_limit=2.0)
    goal.orientation.w = 1.0
    handle = probe.answer(lambda: client.send_goal_async(goal))
    ended = probe.answer(handle.get_result_async, timeout_s=60.0, waiting_for="the goal's end").result
    assert ended.outcome == "succeeded"
    assert 2.0 <= ended.duration < 2.2
    true = {stamp_ns(m.header.stamp): pose_of(m, where="truth") for m in list(truths)}
    seen = {stamp_ns(m.header.stamp): pose_of(m, where="pose") for m in list(poses)}
    both = sorted(set(true) & set(seen))
    heard_both = [k for k in seen if max(min(true), min(seen)) <= k <= min(max(true), max(seen))]
    assert len(both) >= 24 and len(both) >= 0.9 * len(heard_both)
    assert max(np.linalg.norm(seen[k][0] - true[k][0]) for k in both) < 0.004
    assert max(rotations.angle_between(seen[k][1], true[k][1]) for k in both) < 0.1
    assert poses[-1].header.frame_id == "world" and len(guesses) >= len(poses)
    assert np.linalg.eigvalsh(np.array(guesses[-1].pose.covariance).reshape(6, 6)).min() > 0.0
    client.destroy()


def test_the_bundled_graph_of_the_perceived_state_has_no_truth_in_it() -> None:
    from knuckle_ros.graph import load_graph

    graph = {node.name: node for node in load_graph("perceived").nodes}
    assert graph["world"].remappings == {"object/pose": "object/truth"}
    assert "object_pose_node" in graph["object"].module and not graph["policy"].remappings


def test_a_message_that_is_no_cloud_of_ours_is_refused_in_one_line() -> None:
    from knuckle.core.errors import InputError
    from knuckle.perception.cloud import Cloud
    from knuckle_ros.object_pose_node import cloud_of
    from knuckle_ros.perception_node import cloud_message

    cloud = Cloud(5, np.ones((3, 3), dtype=np.float32), np.array([0, 1, 2], dtype=np.uint8))
    back = cloud_of(cloud_message(cloud))
    assert back.stamp_ns == 5 and np.array_equal(back.points, cloud.points) and np.array_equal(back.label, cloud.label)
    for change, line in (
        (lambda m: setattr(m.header, "frame_id", "world"), "points: frame 'world'; hand_base"),
        (lambda m: setattr(m, "fields", m.fields[:3]), "points: fields x, y, z in points of 16 bytes; x, y, z, label"),
        (lambda m: setattr(m, "width", 4), "points: 48 bytes; 4 points of 16"),
    ):
        message = cloud_message(cloud)
        change(message)
        with pytest.raises(InputError, match=f"^{line}"):
            cloud_of(message)
