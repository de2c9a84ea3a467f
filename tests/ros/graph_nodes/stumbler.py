"""A node with a bug that shows when it is asked to."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node
from std_msgs.msg import Empty

from knuckle_ros.host_context import HostContext


@dataclass(frozen=True)
class Config:
    """Parameters: none."""


class StumblerNode:
    def __init__(self, name: str) -> None:
        self.node = Node(name)
        self.node.create_subscription(Empty, "stumble", self.on_word, 10)

    def on_word(self, message: Empty) -> None:
        raise ValueError("a bug in a callback")

    def close(self) -> None:
        self.node.destroy_node()


def build(name: str, config: Config, context: HostContext) -> StumblerNode:
    return StumblerNode(name)
