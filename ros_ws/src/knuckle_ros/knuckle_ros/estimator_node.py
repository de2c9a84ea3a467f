"""The estimator on the bus: ``imu`` and ``magnetic_field`` in, ``<stream>/estimate`` out at the full rate.

``<stream>/estimator_state`` holds, once a second of the stream's time, all that later estimates depend on, so that a
recording of the bus that begins anywhere can be estimated again bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import Imu, MagneticField
from std_msgs.msg import UInt8MultiArray

from knuckle.core.config import setting
from knuckle.sensors.estimator import Estimate
from knuckle.sensors.imu_stream import ImuStream, ImuStreamConfig
from knuckle_ros.bus_qos import DIAGNOSTICS, STREAM
from knuckle_ros.host_context import HostContext
from knuckle_ros.imu_messages import LOSSLESS, estimate_message, field_of, reading_of, state_message
from knuckle_ros.parameters import declare
from knuckle_ros.wire import header_msg, stamp_ns

_STATE_PERIOD_NS = 1_000_000_000
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
        self.stream = ImuStream(config)
        self._context = context or HostContext()
        self._estimates = self.node.create_publisher(Imu, f"{config.stream}/estimate", STREAM)
        self._states = self.node.create_publisher(UInt8MultiArray, f"{config.stream}/estimator_state", 10)
        self._diagnostics = self.node.create_publisher(DiagnosticArray, "diagnostics", DIAGNOSTICS)
        self._frame = ""
        self._state_due_ns: int | None = None
        self._newest: Estimate | None = None
        self._estimated_before = 0
        self._silent_s = 0
        self._health: tuple[bytes, str] = (DiagnosticStatus.STALE, "no samples")
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
            self._newest = estimate
        if not estimates:
            return
        newest_ns = estimates[-1].stamp_ns
        if self._state_due_ns is None or not 0 <= self._state_due_ns - newest_ns <= _STATE_PERIOD_NS:
            self._states.publish(state_message(self.stream.state()))
            self._state_due_ns = newest_ns + _STATE_PERIOD_NS
        health = self._judge(estimates[-1])
        if health != self._health:
            self._report(health, rate_hz=float("nan"))

    def _on_second(self) -> None:
        estimated = self.stream.counts()["estimated"]
        rate_hz, self._estimated_before = float(estimated - self._estimated_before), estimated
        self._silent_s = 0 if rate_hz else self._silent_s + 1
        if self._newest is None or self._silent_s >= _STALE_AFTER_S:
            self._report((DiagnosticStatus.STALE, "no samples"), rate_hz)
        else:
            self._report(self._judge(self._newest), rate_hz)

    def _judge(self, estimate: Estimate) -> tuple[bytes, str]:
        if estimate.valid:
            return DiagnosticStatus.OK, "estimating"
        return DiagnosticStatus.WARN, f"estimate invalid: {estimate.reason}"

    def _report(self, health: tuple[bytes, str], rate_hz: float) -> None:
        self._health = health
        level, text = health
        self._context.report(self.node.get_name(), level[0], text)
        values = {"rate_hz": rate_hz, "nominal_hz": self.config.rate_hz, **self.stream.counts()}
        status = DiagnosticStatus(level=level, name=self.node.get_name(), message=text, hardware_id=self.config.stream)
        status.values = [KeyValue(key=key, value=f"{value:g}") for key, value in values.items()]
        now_ns = self.node.get_clock().now().nanoseconds
        self._diagnostics.publish(DiagnosticArray(header=header_msg(now_ns), status=[status]))


def build(node_name: str, config: Config, context: HostContext | None = None) -> EstimatorNode:
    """The node, on the bus from here on; ``close()`` takes it off."""
    return EstimatorNode(node_name, config, context)
