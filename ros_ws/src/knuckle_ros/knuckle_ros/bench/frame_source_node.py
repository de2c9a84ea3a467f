"""A camera without a scene: numbered depth images at a steady rate."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image

from knuckle.core.config import setting
from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.spec.mounts import OPTICAL_FRAME, pinhole
from knuckle_ros.bench.results import write_results
from knuckle_ros.bus_qos import DEPTH
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.wire import depth_msg


@dataclass(frozen=True)
class Config:
    """Parameters."""

    rate: float = setting(30.0, "images", low=1.0, high=200.0, unit="Hz")
    seconds: float = setting(10.0, "time for which images are sent", low=0.5, high=3600.0, unit="s")
    width: int = setting(640, "columns", low=16, high=1920, unit="px")
    height: int = setting(480, "rows", low=16, high=1080, unit="px")
    results: str = setting("", "folder for what was counted")


class FrameSourceNode:
    """Begins when somebody listens; the frame's number is in its first pixels."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self._frames = self.node.create_publisher(Image, "depth/image_rect_raw", DEPTH)
        self._count = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera")
        self._thread.start()

    def close(self) -> None:
        """End, and write how many were sent."""
        self._stopping.set()
        self._thread.join()
        write_results(self.config.results, self.node.get_name(), {"frames_sent": float(self._count)})
        self.node.destroy_node()

    def _run(self) -> None:
        intrinsics = pinhole(self.config.width, self.config.height)
        noise = np.random.default_rng(0).integers(0, 1500, (self.config.height, self.config.width), dtype=np.uint16)
        while not self._frames.get_subscription_count():
            if self._stopping.wait(0.05):
                return
        began = time.monotonic()
        for number in range(round(self.config.seconds * self.config.rate)):
            if self._stopping.wait(max(0.0, began + number / self.config.rate - time.monotonic())):
                return
            depth = noise.copy()
            depth[0, :2] = divmod(number, 2**16)
            stamp = time.monotonic_ns()
            self._frames.publish(depth_msg(DepthFrame(stamp, number, depth, 0.001, intrinsics, OPTICAL_FRAME)))
            self._count += 1


def build(name: str, config: Config, context: HostContext) -> FrameSourceNode:
    """The bench's camera."""
    return FrameSourceNode(name, config, context)
