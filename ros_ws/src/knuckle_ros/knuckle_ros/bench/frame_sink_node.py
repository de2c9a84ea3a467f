"""Counts depth images by their numbers, and how old they are on arrival."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import Image

from knuckle.core.config import setting
from knuckle_ros.bench.results import latency_figures, write_results
from knuckle_ros.bus_qos import DEPTH
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.wire import depth_of, stamp_ns


@dataclass(frozen=True)
class Config:
    """Parameters."""

    results: str = setting("", "folder for what was counted")


class FrameSinkNode:
    """A listener to ``depth/image_rect_raw`` that reads every image."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self._ages: dict[int, float] = {}
        self.node.create_subscription(Image, "depth/image_rect_raw", self._on_image, DEPTH)

    def close(self) -> None:
        """Write how many different images came."""
        counted = {"frames_received": float(len(self._ages))}
        ages = latency_figures("frame", list(self._ages.values()))
        write_results(self.config.results, self.node.get_name(), {**counted, **ages})
        self.node.destroy_node()

    def _on_image(self, message: Image) -> None:
        age = (time.monotonic_ns() - stamp_ns(message.header.stamp)) * 1e-9
        depth = depth_of(message)
        self._ages[int(depth[0, 0]) * 2**16 + int(depth[0, 1])] = age


def build(name: str, config: Config, context: HostContext) -> FrameSinkNode:
    """The bench's listener to images."""
    return FrameSinkNode(name, config, context)
