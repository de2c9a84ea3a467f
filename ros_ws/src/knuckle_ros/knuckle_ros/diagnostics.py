"""A node's health on ``diagnostics``: once a second, and at once when its level changes."""

from __future__ import annotations

import math
import threading
import time
from enum import IntEnum

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from knuckle_ros.bus_qos import DIAGNOSTICS
from knuckle_ros.health_meter import HealthMeter
from knuckle_ros.host_context import HostContext
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.wire import header_msg


class Level(IntEnum):
    """Levels of DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


class Diagnostics:
    """Rate, latency and drops of one node, a level with one line, and other values. Calls may come from any thread."""

    def __init__(self, node: Node, context: HostContext, *, hardware: str = "") -> None:
        self._node, self._context, self._hardware = node, context, hardware
        self._meter = HealthMeter()
        self._lock = threading.Lock()
        self._level, self._line = Level.OK, "starting"
        self._values: dict[str, str] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "diagnostics", DIAGNOSTICS)
        self._timer = steady_timer(node, 1.0, self.publish)

    def produced(self, latency_s: float = math.nan) -> None:
        """Count an output, made ``latency_s`` after what it answers."""
        with self._lock:
            self._meter.produced(time.monotonic(), latency_s)

    def dropped(self, count: int = 1) -> None:
        """Count what was dropped."""
        with self._lock:
            self._meter.dropped(count)

    def value(self, key: str, value: float | str) -> None:
        """Another value to show."""
        with self._lock:
            self._values[key] = value if isinstance(value, str) else f"{value:.4g}"

    def level(self, level: Level, line: str) -> None:
        """How it is, in one line; published at once where the level changes."""
        with self._lock:
            changed = level is not self._level
            self._level, self._line = level, line
        if changed:
            self.publish()

    def publish(self) -> None:
        """Publish now, and tell the supervisor."""
        with self._lock:
            health = self._meter.read(time.monotonic())
            level, line = self._level, self._line
            values = {
                "rate_hz": f"{health.rate_hz:.1f}",
                "latency_p50_ms": f"{1e3 * health.latency_p50_s:.2f}",
                "latency_p99_ms": f"{1e3 * health.latency_p99_s:.2f}",
                "latency_max_ms": f"{1e3 * health.latency_max_s:.2f}",
                "drops": str(health.drops),
                **self._values,
            }
        name = self._node.get_name()
        status = DiagnosticStatus(level=bytes([level]), name=name, message=line, hardware_id=self._hardware)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        now_ns = self._node.get_clock().now().nanoseconds
        self._publisher.publish(DiagnosticArray(header=header_msg(now_ns), status=[status]))
        self._context.report(name, int(level), f"{line} ({health.rate_hz:.0f} Hz)")
