"""Perception on the bus: depth images and joint states in, labelled clouds in ``hand_base`` out on ``points``."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2, PointField

from knuckle.perception.cloud import POINT, Cloud
from knuckle.perception.pipeline import Perception, PerceptionConfig
from knuckle_ros.bus_qos import DEPTH, DIAGNOSTICS
from knuckle_ros.configuration_topic import publish_configuration
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.perception_feed import CAMERA_INFO, FRAME, IMAGE, JOINT_STATES, POINTS, feed
from knuckle_ros.wire import header_msg

# Longer than the bus asks for: a joint state lost here and not by the recorder would interpolate differently in replay.
LOSSLESS = QoSProfile(depth=1000)
KIND = "perception"

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
        self.config = declare(self.node, config)
        self.perception = Perception(self.config)
        self._context = context
        self._points = self.node.create_publisher(PointCloud2, POINTS, DEPTH)
        self._diagnostics = self.node.create_publisher(DiagnosticArray, "diagnostics", DIAGNOSTICS)
        self._configuration = publish_configuration(self.node, KIND, self.config)
        for topic, kind, qos in (
            (JOINT_STATES, JointState, LOSSLESS),
            (CAMERA_INFO, CameraInfo, DEPTH),
            (IMAGE, Image, DEPTH),
        ):
            self.node.create_subscription(kind, topic, self._listener(topic), qos)
        self._arrived: dict[int, float] = {}
        self._latencies_ms: deque[float] = deque(maxlen=100)
        self._clouds_before = self._dropped_before = 0
        self._health: tuple[bytes, str] = (DiagnosticStatus.STALE, "no depth images")
        self.node.create_timer(1.0, self._on_second, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _listener(self, topic: str) -> Any:
        def on_message(message: Any) -> None:
            if topic == IMAGE:
                stamp = message.header.stamp
                self._arrived[stamp.sec * 1_000_000_000 + stamp.nanosec] = time.monotonic()
            for cloud in feed(self.perception, topic, message):
                self._publish(cloud)

        return on_message

    def _publish(self, cloud: Cloud) -> None:
        self._points.publish(cloud_message(cloud))
        self._latencies_ms.append(1e3 * (time.monotonic() - self._arrived.pop(cloud.stamp_ns, time.monotonic())))
        if self._health[0] != DiagnosticStatus.OK and self._judge()[0] == DiagnosticStatus.OK:
            self._report(float("nan"))

    def _on_second(self) -> None:
        clouds, dropped = self.perception.counts.clouds, self.perception.dropped
        rate_hz = float(clouds - self._clouds_before)
        self._report(rate_hz, quiet=rate_hz == 0.0)
        self._clouds_before, self._dropped_before = clouds, dropped
        for stamp in list(self._arrived)[: -self.config.waiting]:
            del self._arrived[stamp]

    def _judge(self, *, quiet: bool = False) -> tuple[bytes, str]:
        perception = self.perception
        lost = perception.dropped - self._dropped_before
        if lost:
            return DiagnosticStatus.WARN, f"{lost} frames dropped: {perception.last_problem or self._why_unpaired()}"
        if quiet:
            return DiagnosticStatus.STALE, "no depth images" if not perception.counts.frames else "depth images stopped"
        return DiagnosticStatus.OK, "seeing"

    def _why_unpaired(self) -> str:
        counts = self.perception.pairing.counts
        reasons = {"late": counts.late, "no joint state around them": counts.no_joint_state}
        return max(reasons, key=lambda reason: reasons[reason])

    def _report(self, rate_hz: float, *, quiet: bool = False) -> None:
        self._health = level, text = self._judge(quiet=quiet)
        counts, pairing = self.perception.counts, self.perception.pairing.counts
        latency = float(np.median(self._latencies_ms)) if self._latencies_ms else float("nan")
        values = {"rate_hz": rate_hz, "latency_ms": latency, "dropped": self.perception.dropped}
        values |= {**vars(counts), **vars(pairing)}
        status = DiagnosticStatus(level=level, name=self.node.get_name(), message=text)
        status.values = [KeyValue(key=key, value=f"{value:g}") for key, value in values.items()]
        now = header_msg(self.node.get_clock().now().nanoseconds)
        self._diagnostics.publish(DiagnosticArray(header=now, status=[status]))
        self._context.report(self.node.get_name(), int.from_bytes(level, "little"), text)


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
