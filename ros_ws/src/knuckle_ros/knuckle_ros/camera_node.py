"""The simulated depth camera on the bus: depth images and their pinhole, at a rate of the world's time."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.mounts import OPTICAL_FRAME, pinhole
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.scene import Scene
from knuckle.sim.world import STEPS_PER_S
from knuckle_ros.bus_qos import DEPTH, LATCHED
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.paced_world import shared_world
from knuckle_ros.parameters import declare
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.wire import camera_info_msg, depth_msg, transform_msg


@dataclass(frozen=True)
class Config:
    """Parameters of the camera node."""

    rate: float = setting(12.0, "frames of the world's time", low=0.1, high=60.0, unit="Hz")
    width: int = setting(320, "columns", low=16, high=1920, unit="px")
    height: int = setting(180, "rows", low=16, high=1080, unit="px")
    source: str = setting("auto", "what draws", choices=("auto", "egl", "rays"))


class CameraNode:
    """Draws in a thread of its own, so that the world does not wait for a picture."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self.world = shared_world(context, where=name)
        self.camera = SimDepthCamera(
            self.world.sim, source=self.config.source, intrinsics=pinhole(self.config.width, self.config.height)
        )
        self.node.get_logger().info(f"depth by {self.camera.source}: {self.camera.reason}")
        self._images = self.node.create_publisher(Image, "depth/image_rect_raw", DEPTH)
        self._infos = self.node.create_publisher(CameraInfo, "depth/camera_info", DEPTH)
        self._frames = self.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        place = self.camera.extrinsics
        stamp = self.world.sim.now_ns
        frame = transform_msg(stamp, "hand_base", OPTICAL_FRAME, place.position, place.quaternion)
        self._frames.publish(TFMessage(transforms=[frame]))
        self.diagnostics = Diagnostics(self.node, context, hardware=f"simulation ({self.camera.source})")
        self._frame = 0
        self._taken: deque[tuple[int, Scene, Array]] = deque(maxlen=1)
        self._wanted = threading.Event()
        self._stopping = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="camera")
        self._thread.start()
        self.world.add_cycle(self._cycle)
        steady_timer(self.node, 0.1, self._watch)

    def close(self) -> None:
        """End the thread and free the renderer."""
        self.world.remove_cycle(self._cycle)
        self._stopping = True
        self._wanted.set()
        self._thread.join()
        self.camera.close()
        self.node.destroy_node()

    def _cycle(self, now_ns: int, step: int) -> None:
        """In the world's thread: take down the world when a frame is due; where the last is not drawn, it is dropped.

        Frames stand on whole periods since the world's start: at the control rate they are of the control cycles, and
        have the stamps of their joint states.
        """
        frame = math.floor(step * self.config.rate / STEPS_PER_S + 1e-9)
        if frame == self._frame:
            return
        self._frame = frame
        if self._taken:
            self.diagnostics.dropped()
        self._taken.append(self.world.sim.snapshot())
        self._wanted.set()

    def _run(self) -> None:
        try:
            while self._wanted.wait() and not self._stopping:
                self._wanted.clear()
                if not self._taken:
                    continue
                began = time.monotonic()
                frame = self.camera.render_of(self._taken.pop())
                self._infos.publish(camera_info_msg(frame.stamp_ns, frame.frame, frame.intrinsics))
                self._images.publish(depth_msg(frame))
                self.diagnostics.produced(time.monotonic() - began)
        except Exception as error:
            # Raised again in the executor's thread.
            self._failure = error

    def _watch(self) -> None:
        if self._failure is not None:
            raise self._failure
        self.diagnostics.level(Level.OK, f"depth by {self.camera.source}")


def build(name: str, config: Config, context: HostContext) -> CameraNode:
    """The camera node ``name``."""
    return CameraNode(name, config, context)
