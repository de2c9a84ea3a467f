"""Stands in for a tracker of objects: with each cloud the object's true pose, so that a blind camera is a blind policy.

A real tracker may lose an object that random fingers push about, which would be no fault that was injected.
"""

from __future__ import annotations

from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2

from knuckle_ros.bus_qos import DEPTH, JOINT_STATES
from knuckle_ros.host_context import HostContext


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


class SightNode:
    """``points`` and ``object/truth`` in, ``object/pose`` of the cloud's stamp out."""

    def __init__(self, name: str) -> None:
        self.node = Node(name)
        self._truth: PoseStamped | None = None
        self._poses = self.node.create_publisher(PoseStamped, "object/pose", JOINT_STATES)
        self.node.create_subscription(PoseStamped, "object/truth", self._on_truth, JOINT_STATES)
        self.node.create_subscription(PointCloud2, "points", self._on_points, DEPTH)

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _on_truth(self, message: PoseStamped) -> None:
        self._truth = message

    def _on_points(self, message: PointCloud2) -> None:
        if self._truth is not None:
            seen = PoseStamped(header=self._truth.header, pose=self._truth.pose)
            seen.header.stamp = message.header.stamp
            self._poses.publish(seen)


def build(name: str, config: Config, context: HostContext) -> SightNode:
    """The node ``name``."""
    return SightNode(name)
