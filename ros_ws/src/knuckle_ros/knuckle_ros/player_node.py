"""Plays a recording onto ``imu`` and ``magnetic_field`` at its recorded rate, once somebody listens."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from numpy.typing import NDArray
from sensor_msgs.msg import Imu, MagneticField

from knuckle.core.config import setting
from knuckle.sensors import broad
from knuckle.sensors.pacing import Pacer
from knuckle.sensors.recording import ImuRecording
from knuckle_ros.bus_qos import STREAM
from knuckle_ros.configuration_topic import publish_configuration
from knuckle_ros.host_context import HostContext
from knuckle_ros.imu_messages import imu_message, mag_message
from knuckle_ros.parameters import declare


@dataclass(frozen=True)
class Config:
    """Parameters of the player node."""

    file: str = setting("", "recording to play (a BROAD trial)")
    start_s: float = setting(0.0, "where in the recording to begin", low=0.0, high=1e6, unit="s")
    seconds: float = setting(0.0, "how much of it to play, 0 for all", low=0.0, high=1e6, unit="s")
    frame: str = setting("imu", "frame_id of the messages")
    wait_s: float = setting(10.0, "how long to wait for a listener", low=0.0, high=3600.0, unit="s")


class PlayerNode:
    """A recording as a live sensor. Stamps are the time of the first sample's sending plus the recording's own time.

    ``sent_ns`` (N,) int64 holds when each sample was sent, on ``time.monotonic_ns``; 0 for those not sent yet.
    """

    def __init__(self, name: str, config: Config, recording: ImuRecording) -> None:
        self.node = rclpy.create_node(name)
        self.config = declare(self.node, config)
        self._configuration = publish_configuration(self.node, "player", self.config)
        self.recording = recording
        self.sent_ns: NDArray[np.int64] = np.zeros(len(recording), dtype=np.int64)
        self.epoch_ns = 0
        self.pacer = Pacer(round(1e9 / recording.rate_hz), 0, int(recording.stamps_ns[0]))
        self.done = threading.Event()
        self._readings = self.node.create_publisher(Imu, "imu", STREAM)
        self._fields = self.node.create_publisher(MagneticField, "magnetic_field", STREAM)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="pacing", daemon=True)

    def heard(self) -> bool:
        """Whether somebody listens to all that the recording holds."""
        listened = [self._readings] if self.recording.mag is None else [self._readings, self._fields]
        return all(publisher.get_subscription_count() > 0 for publisher in listened)

    def start(self) -> None:
        """Begin to play now."""
        self._thread.start()

    def start_when_heard(self) -> None:
        """Begin to play when somebody listens, or after ``wait_s``."""
        deadline = time.monotonic() + self.config.wait_s

        def look() -> None:
            if self.heard() or time.monotonic() > deadline:
                timer.cancel()
                self.start()

        timer = self.node.create_timer(0.05, look)

    def close(self) -> None:
        """Stop playing and leave the bus."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.node.destroy_node()

    def _play(self) -> None:
        recording, pacer, frame = self.recording, self.pacer, self.config.frame
        pacer.begin_ns = time.monotonic_ns()
        self.epoch_ns = self.node.get_clock().now().nanoseconds - pacer.first_stamp_ns
        for i, stamp in enumerate(recording.stamps_ns.tolist()):
            wait_ns = pacer.due_ns(stamp) - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns * 1e-9)
            if self._stop.is_set():
                return
            now_ns = time.monotonic_ns()
            self.sent_ns[i] = now_ns
            if recording.mag is not None:
                self._fields.publish(mag_message(self.epoch_ns + stamp, frame, recording.mag[i]))
            self._readings.publish(imu_message(self.epoch_ns + stamp, frame, recording.gyr[i], recording.acc[i]))
            pacer.sent_at(stamp, now_ns)
        self.done.set()


def build(node_name: str, config: Config, context: HostContext | None = None) -> PlayerNode:
    """The node, which plays when somebody listens; ``close()`` takes it off the bus.

    Raises RecordingError where the recording cannot be read.
    """
    recording = broad.load(Path(config.file)).part(config.start_s, config.seconds)
    player = PlayerNode(node_name, config, recording)
    player.start_when_heard()
    return player
