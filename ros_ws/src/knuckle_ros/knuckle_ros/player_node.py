"""Plays a recording onto ``imu`` and ``magnetic_field`` at its recorded rate, once somebody listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node

from knuckle.core.config import setting
from knuckle.sensors import imu_file
from knuckle.sensors.pacing import Pacer
from knuckle.sensors.recording import ImuRecording
from knuckle_ros.configuration_topic import publish_configuration
from knuckle_ros.host_context import HostContext
from knuckle_ros.outlets import ImuOutlet, Outlet
from knuckle_ros.parameters import declare


@dataclass(frozen=True)
class Config:
    """Parameters of the player node."""

    file: str = setting("", "recording to play: a BROAD trial (.mat), .csv or .mcap")
    start_s: float = setting(0.0, "where in the recording to begin", low=0.0, high=1e6, unit="s")
    seconds: float = setting(0.0, "how much of it to play, 0 for all", low=0.0, high=1e6, unit="s")
    frame: str = setting("imu", "frame_id of the messages")
    wait_s: float = setting(10.0, "how long to wait for a listener", low=0.0, high=3600.0, unit="s")


class Played(Protocol):
    """What is asked of a recording to pace it."""

    @property
    def rate_hz(self) -> float:
        """Samples a second, about."""
        ...

    @property
    def stamps_ns(self) -> NDArray[np.int64]:
        """When each was taken, (N,)."""
        ...

    def __len__(self) -> int: ...


class PlayerNode:
    """A recording as a live sensor, on the topics of an IMU unless it comes with another ``outlet``.

    Stamps are the time of the first sample's sending plus the recording's own time.
    ``sent_ns`` (N,) int64 holds when each sample was sent, on ``time.monotonic_ns``; 0 for those not sent yet.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        recording: Played,
        outlet: Callable[[Node], Outlet] | None = None,
    ) -> None:
        self.node = rclpy.create_node(name)
        self.config = declare(self.node, config)
        self._configuration = publish_configuration(self.node, "player", self.config)
        self.recording = recording
        self.sent_ns: NDArray[np.int64] = np.zeros(len(recording), dtype=np.int64)
        self.epoch_ns = 0
        self.pacer = Pacer(round(1e9 / recording.rate_hz), 0, int(recording.stamps_ns[0]))
        self.done = threading.Event()
        self._outlet = self._imu() if outlet is None else outlet(self.node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="pacing", daemon=True)

    def heard(self) -> bool:
        """Whether somebody listens to all that the recording holds."""
        return self._outlet.heard()

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
        recording, pacer = self.recording, self.pacer
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
            self._outlet.publish(i, self.epoch_ns + stamp)
            pacer.sent_at(stamp, now_ns)
        self.done.set()

    def _imu(self) -> Outlet:
        assert isinstance(self.recording, ImuRecording)
        return ImuOutlet(self.node, self.recording, self.config.frame)


def build(node_name: str, config: Config, context: HostContext | None = None) -> PlayerNode:
    """The node, which plays when somebody listens; ``close()`` takes it off the bus.

    Raises RecordingError where the recording cannot be read.
    """
    recording = imu_file.load(Path(config.file)).part(config.start_s, config.seconds)
    player = PlayerNode(node_name, config, recording)
    player.start_when_heard()
    return player
