"""The estimator on the bus: ``imu`` and ``magnetic_field`` in, ``<stream>/estimate`` out at the full rate.

``<stream>/estimator_state`` holds, once a second of the stream's time, all that later estimates depend on, so that a
recording of the bus that begins anywhere can be estimated again bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import rclpy
from sensor_msgs.msg import Imu, MagneticField
from std_msgs.msg import UInt8MultiArray

from knuckle.core.config import setting
from knuckle.sensors.estimator import Estimate
from knuckle.sensors.imu_stream import ImuStream, ImuStreamConfig
from knuckle_ros.bus_qos import STREAM
from knuckle_ros.configuration_topic import publish_configuration
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.imu_messages import LOSSLESS, estimate_message, field_of, reading_of, state_message
from knuckle_ros.parameters import declare
from knuckle_ros.wire import stamp_ns

_STATE_PERIOD_NS = 1_000_000_000
_REJECTED = ("nan", "repeats", "backwards", "jumps", "surplus")
_STALE_AFTER_S = 2  # of wall time: a simulated clock that waits for its planner stands still for less


@dataclass(frozen=True)
class Config(ImuStreamConfig):
    """Parameters of the estimator node: what an ImuStream needs, and the name of the stream."""

    stream: str = setting("palm", "name of the stream: the estimate is published on <stream>/estimate")


class EstimatorNode:
    """One IMU's stream. All the thinking is ImuStream's; this converts, publishes and reports."""

    def __init__(self, name: str, config: Config, context: HostContext | None = None) -> None:
        self.node = rclpy.create_node(name)
        self.config = config = declare(self.node, config)
        self._configuration = publish_configuration(self.node, "estimator", config)
        self.stream = ImuStream(config)
        self._estimates = self.node.create_publisher(Imu, f"{config.stream}/estimate", STREAM)
        self._states = self.node.create_publisher(UInt8MultiArray, f"{config.stream}/estimator_state", 10)
        self._diagnostics = Diagnostics(self.node, context or HostContext(), hardware=config.stream)
        self._diagnostics.level(Level.STALE, "no samples")
        self._frame = ""
        self._state_due_ns: int | None = None
        self._silent_s = self._rejected = 0
        self.readings = self.node.create_subscription(Imu, "imu", self._on_imu, LOSSLESS)
        self.fields = self.node.create_subscription(MagneticField, "magnetic_field", self._on_mag, LOSSLESS)
        self.node.create_timer(1.0, self._on_second)

    def heard(self) -> bool:
        """Whether someone listens to the estimates and someone publishes what they are made of."""
        sources = [self.readings, self.fields] if self.config.magnetometer else [self.readings]
        return self._estimates.get_subscription_count() > 0 and all(s.get_publisher_count() > 0 for s in sources)

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _on_imu(self, message: Imu) -> None:
        self._frame = message.header.frame_id
        self._publish(self.stream.imu(stamp_ns(message.header.stamp), *reading_of(message)))

    def _on_mag(self, message: MagneticField) -> None:
        self._publish(self.stream.mag(stamp_ns(message.header.stamp), field_of(message)))

    def _publish(self, estimates: list[Estimate]) -> None:
        for estimate in estimates:
            self._estimates.publish(estimate_message(estimate, self._frame))
            self._diagnostics.produced()
        if not estimates:
            return
        newest = estimates[-1]
        self._silent_s = 0
        if newest.valid:
            self._diagnostics.level(Level.OK, "estimating")
        else:
            self._diagnostics.level(Level.WARN, f"estimate invalid: {newest.reason}")
        if self._state_due_ns is None or not 0 <= self._state_due_ns - newest.stamp_ns <= _STATE_PERIOD_NS:
            self._states.publish(state_message(self.stream.state()))
            self._state_due_ns = newest.stamp_ns + _STATE_PERIOD_NS

    def _on_second(self) -> None:
        self._silent_s += 1
        if self._silent_s > _STALE_AFTER_S:
            self._diagnostics.level(Level.STALE, "no samples")
        counts = self.stream.counts()
        rejected = sum(counts[key] for key in _REJECTED)
        self._diagnostics.dropped(rejected - self._rejected)
        self._rejected = rejected
        for key, count in counts.items():
            self._diagnostics.value(key, str(count))


def build(node_name: str, config: Config, context: HostContext | None = None) -> EstimatorNode:
    """The node, on the bus from here on; ``close()`` takes it off."""
    return EstimatorNode(node_name, config, context)
