"""Perception on the bus: its clouds are those of the builder, and what it refuses is said in its diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import OPTICAL_FRAME, paper_extrinsics, pinhole
from knuckle.perception.cloud import CloudBuilder, CloudConfig

pytestmark = pytest.mark.ros

GRAPH = """
processes:
  perception: {}
nodes:
  perception: {module: perception_node, process: perception, parameters: {voxel_m: 0.01}}
"""
MS = 1_000_000


def test_clouds_match_the_builder_and_bad_images_are_named(
    tmp_path: Path, run_graph: Callable[..., Any], probe: Any
) -> None:
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2

    from knuckle_ros.wire import camera_info_msg, depth_msg, header_msg

    path = tmp_path / "g.yaml"
    path.write_text(GRAPH)
    images = probe.node.create_publisher(Image, "depth/image_rect_raw", 5)
    infos = probe.node.create_publisher(CameraInfo, "depth/camera_info", 5)
    joints = probe.node.create_publisher(JointState, "joint_states", 10)
    clouds = probe.listen(PointCloud2, "points")
    reports = probe.listen(DiagnosticArray, "diagnostics")
    run_graph(str(path)).wait_for("process perception: running")
    spec, camera = hand_spec("dclaw3"), pinhole(160, 90)
    depth = np.random.default_rng(0).integers(500, 700, (90, 160)).astype(np.uint16)
    names, home = list(spec.joint_names), spec.home

    def send(stamp_ms: int, encoding: str = "16UC1") -> None:
        frame = DepthFrame(stamp_ms * MS, 0, depth, 0.001, camera, OPTICAL_FRAME)
        message = depth_msg(frame)
        message.encoding = encoding
        for at, shift in ((stamp_ms - 20, 0.0), (stamp_ms + 20, 0.2)):
            joints.publish(JointState(header=header_msg(at * MS), name=names, position=(home + shift).tolist()))
        infos.publish(camera_info_msg(stamp_ms * MS, OPTICAL_FRAME, camera))
        images.publish(message)

    def until(condition: Callable[[], bool]) -> None:
        import time

        deadline, stamp = time.monotonic() + 20.0, 1000
        while not condition():
            assert time.monotonic() < deadline, reports[-1:] or "nothing heard"
            send(stamp)
            stamp += 100
            time.sleep(0.1)

    until(lambda: bool(clouds))
    frame = DepthFrame(0, 0, depth, 0.001, camera, OPTICAL_FRAME)
    wanted = CloudBuilder(spec, paper_extrinsics(), CloudConfig(voxel_m=0.01)).build(frame, home + 0.1)
    cloud = clouds[-1]
    assert cloud.header.frame_id == "hand_base"
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "label"]
    packed = np.frombuffer(bytes(cloud.data), dtype=wanted.packed().dtype)
    assert np.array_equal(np.stack([packed[k] for k in "xyz"], axis=1), wanted.points)
    assert (packed["label"] == wanted.label).mean() > 0.999
    send(10**6, encoding="rgb8")
    until(lambda: any("encoding 'rgb8'" in s.message and s.level == b"\1" for r in reports for s in r.status))
