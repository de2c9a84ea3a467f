"""Listens to the estimates of a stream that a player feeds: how late each came, and which never did."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Imu

from knuckle.sensors.recording import ImuRecording
from knuckle_ros.imu_messages import LOSSLESS, is_valid, orientation_of
from knuckle_ros.player_node import PlayerNode
from knuckle_ros.wire import stamp_ns


class EstimateMeter:
    """Rows are those of the player's recording: ``received_ns`` (N,) int64 on ``time.monotonic_ns``, 0 where no
    estimate came; ``orientations`` (N, 4) w x y z; ``valid`` (N,)."""

    def __init__(self, node: Node, stream: str, player: PlayerNode) -> None:
        recording = player.recording
        assert isinstance(recording, ImuRecording)
        self.recording, n = recording, len(recording)
        self._player = player
        self._row = {stamp: i for i, stamp in enumerate(recording.stamps_ns.tolist())}
        self.received_ns: NDArray[np.int64] = np.zeros(n, dtype=np.int64)
        self.orientations = np.full((n, 4), np.nan)
        self.valid = np.zeros(n, dtype=np.bool_)
        self.received = 0
        self.strangers = 0
        self.subscription = node.create_subscription(Imu, f"{stream}/estimate", self._on_estimate, LOSSLESS)

    def latencies_ms(self, newest: int = 0) -> NDArray[np.float64]:
        """From a sample's sending to its estimate's arrival, for all that came, or the ``newest`` so many rows."""
        sent = self._player.pacer.sent
        rows = slice(max(0, sent - newest) if newest else 0, sent)
        received = self.received_ns[rows]
        came = received > 0
        return np.asarray((received[came] - self._player.sent_ns[rows][came]) * 1e-6, dtype=np.float64)

    def rate_hz(self) -> float:
        """Estimates over the time from the first to the last; 0 before the second."""
        times = self.received_ns[self.received_ns > 0]
        span = int(times.max() - times.min()) if len(times) > 1 else 0
        return (len(times) - 1) * 1e9 / span if span else 0.0

    def _on_estimate(self, message: Imu) -> None:
        now_ns = time.monotonic_ns()
        row = self._row.get(stamp_ns(message.header.stamp) - self._player.epoch_ns)
        if row is None or self.received_ns[row]:
            self.strangers += 1
            return
        self.received_ns[row] = now_ns
        self.orientations[row] = orientation_of(message)
        self.valid[row] = is_valid(message)
        self.received += 1
