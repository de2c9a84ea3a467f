"""Perception on the bus: depth images and joint states in, labelled clouds in ``hand_base`` out on ``points``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2, PointField

from knuckle.perception.cloud import POINT, Cloud
from knuckle.perception.frame_silence import FrameSilence
from knuckle.perception.pipeline import Perception, PerceptionConfig
from knuckle_ros.bus_qos import DEPTH
from knuckle_ros.configuration_topic import publish_configuration
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.perception_feed import CAMERA_INFO, FRAME, IMAGE, JOINT_STATES, POINTS, feed
from knuckle_ros.wire import header_msg, stamp_ns

# Longer than the bus asks for: a joint state lost here and not by the recorder would interpolate differently in replay.
LOSSLESS = QoSProfile(depth=1000)
KIND = "perception"

STALE_PERIODS = 2.5
"""Joint states come twice a frame or oftener, so that STALE is told within 3 periods of the last cloud."""

_FIELDS = [
    PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name="y", offset=4, datatype=PointField.FLOAT32, count=1),
    PointField(name="z", offset=8, datatype=PointField.FLOAT32, count=1),
    PointField(name="label", offset=12, datatype=PointField.UINT8, count=1),
]


@dataclass(frozen=True)
class Config(PerceptionConfig):
    """Parameters of the perception node: all of them are Perception's."""


class PerceptionNode:
    """All the thinking is Perception's; this converts, publishes and reports."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config).resolved()
        self.perception = Perception(self.config)
        self._points = self.node.create_publisher(PointCloud2, POINTS, DEPTH)
        self._diagnostics = Diagnostics(self.node, context)
        self._diagnostics.level(Level.STALE, "no depth images")
        self._configuration = publish_configuration(self.node, KIND, self.config)
        for topic, kind, qos in (
            (JOINT_STATES, JointState, LOSSLESS),
            (CAMERA_INFO, CameraInfo, DEPTH),
            (IMAGE, Image, DEPTH),
        ):
            self.node.create_subscription(kind, topic, self._listener(topic), qos)
        self._arrived: dict[int, float] = {}
        self._silence = FrameSilence(STALE_PERIODS)
        self._clouds_before = self._dropped_before = 0
        self.node.create_timer(1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _listener(self, topic: str) -> Any:
        def on_message(message: Any) -> None:
            if topic == IMAGE:
                self._arrived[stamp_ns(message.header.stamp)] = time.monotonic()
            for cloud in feed(self.perception, topic, message):
                self._publish(cloud)
            if topic == JOINT_STATES:
                self._silence.passed(stamp_ns(message.header.stamp))
                self._judge_silence()

        return on_message

    def _publish(self, cloud: Cloud) -> None:
        self._points.publish(cloud_message(cloud))
        self._silence.frame(cloud.stamp_ns)
        now = time.monotonic()
        self._diagnostics.produced(now - self._arrived.pop(cloud.stamp_ns, now))
        if self.perception.dropped == self._dropped_before:
            self._diagnostics.level(Level.OK, "seeing")

    def _judge_silence(self) -> None:
        """STALE at once when clouds stop; what was wrong with the last frame is said, where one came at all."""
        self._diagnostics.value("since_cloud_ms", self._silence.since_ms)
        if self._silence.silent:
            why = self.perception.last_problem if self.perception.dropped > self._dropped_before else ""
            line = f"no cloud since {self._silence.since_ms:.0f} ms"
            self._diagnostics.level(Level.STALE, f"{line}: {why}" if why else line)

    def _on_second(self) -> None:
        """Judge the last second, and forget when the images came that gave no cloud."""
        clouds, dropped = self.perception.counts.clouds, self.perception.dropped
        lost = dropped - self._dropped_before
        if lost:
            why = self.perception.last_problem or self._why_unpaired()
            self._diagnostics.dropped(lost)
        if self._silence.silent:
            self._judge_silence()
        elif lost:
            self._diagnostics.level(Level.WARN, f"{lost} frames dropped: {why}")
        elif clouds == self._clouds_before:
            missing = "no depth images" if not self.perception.counts.frames else "depth images stopped"
            self._diagnostics.level(Level.STALE, missing)
        for key, value in {**vars(self.perception.counts), **vars(self.perception.pairing.counts)}.items():
            self._diagnostics.value(key, value)
        self._clouds_before, self._dropped_before = clouds, dropped
        for stamp in list(self._arrived)[: -self.config.waiting]:
            del self._arrived[stamp]

    def _why_unpaired(self) -> str:
        counts = self.perception.pairing.counts
        reasons = {"late": counts.late, "no joint state around them": counts.no_joint_state}
        return max(reasons, key=lambda reason: reasons[reason])


def cloud_message(cloud: Cloud) -> PointCloud2:
    """A cloud as a message in hand_base: x y z float32 and label uint8 in points of 16 bytes."""
    n = len(cloud.points)
    message = PointCloud2(header=header_msg(cloud.stamp_ns, FRAME), height=1, width=n, fields=_FIELDS)
    message.point_step, message.row_step, message.is_dense = POINT.itemsize, POINT.itemsize * n, True
    message.data = cloud.packed().tobytes()
    return message


def build(name: str, config: Config, context: HostContext) -> PerceptionNode:
    """The perception node ``name``."""
    return PerceptionNode(name, config, context)
