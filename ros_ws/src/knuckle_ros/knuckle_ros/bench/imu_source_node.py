"""An IMU without a sensor, at a steady rate, and how late the estimates of each of its samples are."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Imu, MagneticField

from knuckle.core.config import setting
from knuckle.sensors.hiss.live_model import needs_field, task_of
from knuckle.sensors.hiss.model_card import model_folder, read_card
from knuckle_ros.bench.results import DONE, MEASURING, WAITING, latency_figures, write_results
from knuckle_ros.bus_qos import DIAGNOSTICS, STREAM
from knuckle_ros.host_context import HostContext
from knuckle_ros.imu_messages import LOSSLESS, imu_message, mag_message
from knuckle_ros.model_messages import message_type
from knuckle_ros.parameters import declare
from knuckle_ros.wire import stamp_ns

LAST_ANSWERS_S = 2.5
"""Long enough for the model's node to tell its counts, once a second."""
_SLACK_NS = 1000
_GRAVITY, _FIELD_T = 9.81, 5e-5


@dataclass(frozen=True)
class Config:
    """Parameters."""

    model: str = setting("", "the model whose node answers")
    node: str = setting("model", "name of that node, as its diagnostics have it")
    rate: float = setting(1e9 / 3_500_000, "samples", low=1.0, high=2000.0, unit="Hz")
    warm_up: float = setting(12.0, "time that is not measured", low=0.1, high=3600.0, unit="s")
    seconds: float = setting(10.0, "time that is measured", low=0.5, high=3600.0, unit="s")
    results: str = setting("", "folder for what was measured")


class ImuSourceNode:
    """Publishes from a thread of its own: a sensor that turns back and forth about a level axis."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self._context = context
        card = read_card(model_folder(self.config.model, where=f"{name}.model"))
        targets = [entry.name for entry in card.channels.targets]
        kind = Imu if task_of(card) == "orientation" else message_type(targets)
        self._stamps: list[int] = []
        self._sent: list[float] = []
        self._came: list[tuple[int, float]] = []
        self._counts: dict[str, float] = {}
        self._measured_from = 0
        self._met, self._needs_field = False, needs_field(card)
        self._readings = self.node.create_publisher(Imu, "imu", STREAM)
        self._fields = self.node.create_publisher(MagneticField, "magnetic_field", STREAM)
        self.node.create_subscription(kind, "estimate", self._on_estimate, LOSSLESS)
        self.node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, DIAGNOSTICS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imu")
        self._thread.start()

    def close(self) -> None:
        """End, and write what was measured."""
        self._stopping.set()
        self._thread.join()
        stamps = np.array(self._stamps, dtype=np.int64)
        rows = np.searchsorted(stamps, np.array([stamp for stamp, _ in self._came], dtype=np.int64) - _SLACK_NS)
        came = [(int(row), at) for row, (_, at) in zip(rows, self._came, strict=True) if row < len(stamps)]
        late = [at - self._sent[row] for row, at in came if row >= self._measured_from]
        received = self._counts.get("received", float("nan"))
        figures = {
            **latency_figures("estimate", late),
            "samples_sent": float(len(stamps)),
            "samples_received": received,
            "samples_lost": len(stamps) - received,
            "samples_made_up": self._counts.get("filled", 0.0) + self._counts.get("resampled", 0.0),
            "estimates_measured": float(len(late)),
        }
        write_results(self.config.results, self.node.get_name(), figures)
        self.node.destroy_node()

    def _on_estimate(self, message: Any) -> None:
        self._came.append((stamp_ns(message.header.stamp), time.monotonic()))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self.config.node:
                self._met = True
                pairs = {pair.key: pair.value for pair in status.values}
                self._counts = {k: float(pairs[k]) for k in ("received", "filled", "resampled") if k in pairs}

    def _run(self) -> None:
        self._say(WAITING)
        while not self._heard():
            if self._stopping.wait(0.05):
                return
        began, count = time.monotonic(), 0
        whole = round((self.config.warm_up + self.config.seconds) * self.config.rate)
        origin = self.node.get_clock().now().nanoseconds
        while count < whole:
            if self._stopping.wait(max(0.0, began + count / self.config.rate - time.monotonic())):
                return
            if count == round(self.config.warm_up * self.config.rate):
                self._measured_from = count
                self._say(MEASURING)
            self._publish(origin + round(count * 1e9 / self.config.rate), count / self.config.rate)
            count += 1
        self._stopping.wait(LAST_ANSWERS_S)
        self._say(DONE)

    def _heard(self) -> bool:
        """Whether the model's node hears what it needs: its word on ``diagnostics`` says that the two have met."""
        needed = (self._readings, self._fields) if self._needs_field else (self._readings,)
        return self._met and all(publisher.get_subscription_count() for publisher in needed)

    def _publish(self, stamp: int, t: float) -> None:
        angle = 0.8 * np.sin(2.0 * t)
        noise = 1e-3 * np.sin(np.array([37.0, 53.0, 71.0]) * t)
        gyr = np.array([1.6 * np.cos(2.0 * t), 0.0, 0.0]) + noise
        acc = _GRAVITY * np.array([0.0, np.sin(angle), np.cos(angle)]) + noise
        mag = _FIELD_T * np.array([0.1, np.cos(angle), -np.sin(angle)])
        self._stamps.append(stamp)
        self._sent.append(time.monotonic())
        self._fields.publish(mag_message(stamp, "imu", mag))
        self._readings.publish(imu_message(stamp, "imu", gyr, acc))

    def _say(self, line: str) -> None:
        self._context.report(self.node.get_name(), 0, line)


def build(name: str, config: Config, context: HostContext) -> ImuSourceNode:
    """The bench's IMU."""
    return ImuSourceNode(name, config, context)
