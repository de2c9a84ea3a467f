"""Stands in for a tracker of objects: with each cloud the object's pose, always the same, of the cloud's stamp."""

from __future__ import annotations

from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2

from knuckle_ros.bus_qos import DEPTH, JOINT_STATES
from knuckle_ros.host_context import HostContext
from knuckle_ros.wire import pose_msg, stamp_ns


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


class PoseEcho:
    """Clouds in, poses out."""

    def __init__(self, name: str) -> None:
        self.node = Node(name)
        self._poses = self.node.create_publisher(PoseStamped, "object/pose", JOINT_STATES)
        self.node.create_subscription(PointCloud2, "points", self._on_points, DEPTH)

    def _on_points(self, message: PointCloud2) -> None:
        stamp = stamp_ns(message.header.stamp)
        self._poses.publish(pose_msg(stamp, "world", [0.0, 0.0, 0.04], [1.0, 0.0, 0.0, 0.0]))

    def close(self) -> None:
        self.node.destroy_node()


def build(name: str, config: Config, context: HostContext) -> PoseEcho:
    """The node ``name``."""
    return PoseEcho(name)
