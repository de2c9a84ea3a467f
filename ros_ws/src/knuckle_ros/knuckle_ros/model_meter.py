"""Listens to a model's estimates of a recording that a player feeds: how late each came, and how far off it was."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from knuckle.sensors.hiss.model_card import SensorCard
from knuckle_ros.imu_messages import LOSSLESS
from knuckle_ros.model_messages import message_type, state_of
from knuckle_ros.player_node import PlayerNode
from knuckle_ros.wire import stamp_ns

_SLACK_NS = 1000


class ModelMeter:
    """Estimates in the order of their arrival: ``stamps_ns`` of the recording, ``received_ns`` on
    ``time.monotonic_ns``, ``means`` and ``covariances`` in the card's units, ``valid``."""

    def __init__(self, node: Node, stream: str, player: PlayerNode, card: SensorCard) -> None:
        self._player = player
        self._targets = len(card.channels.targets)
        self._late_ns = round(card.training.look_ahead * 1e9 / card.channels.rate_hz)
        self.stamps_ns: list[int] = []
        self.received_ns: list[int] = []
        self.means: list[NDArray[np.float64]] = []
        self.covariances: list[NDArray[np.float64]] = []
        self.valid: list[bool] = []
        kind = message_type([entry.name for entry in card.channels.targets])
        self.subscription = node.create_subscription(kind, f"{stream}/estimate", self._on_estimate, LOSSLESS)

    @property
    def received(self) -> int:
        """Estimates that came."""
        return len(self.stamps_ns)

    def latencies_ms(self, newest: int = 0) -> NDArray[np.float64]:
        """From the sending of the sample that completed an estimate to its arrival, for all or the ``newest``."""
        stamps = np.array(self.stamps_ns[-newest:], dtype=np.int64) + self._late_ns - _SLACK_NS
        rows = np.searchsorted(self._player.recording.stamps_ns, stamps)
        inside = rows < len(self._player.recording)
        received = np.array(self.received_ns[-newest:], dtype=np.int64)[inside]
        return np.asarray((received - self._player.sent_ns[rows[inside]]) * 1e-6, dtype=np.float64)

    def rate_hz(self) -> float:
        """Estimates over the time from the first to the last; 0 before the second."""
        span = self.received_ns[-1] - self.received_ns[0] if self.received > 1 else 0
        return (self.received - 1) * 1e9 / span if span else 0.0

    def _on_estimate(self, message: Any) -> None:
        self.received_ns.append(time.monotonic_ns())
        self.stamps_ns.append(stamp_ns(message.header.stamp) - self._player.epoch_ns)
        mean, covariance, valid = state_of(message, self._targets)
        self.means.append(mean)
        self.covariances.append(covariance)
        self.valid.append(valid)
