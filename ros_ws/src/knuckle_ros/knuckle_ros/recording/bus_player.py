"""Publishes a recording onto the bus, message for message, at the pace it was recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from knuckle_ros.message_class import message_class
from knuckle_ros.recording.recording_file import RecordingFile

QUEUE = 100
DISCOVERY_S = 1.0
LONELY_S = 5.0
DELIVERY_S = 2.0


class BusPlayer:
    """One publisher a topic; a thread waits for each message's time. ``done`` is set after the last."""

    def __init__(self, node: Node, recording: RecordingFile, topics: Collection[str], rate: float) -> None:
        self.done = threading.Event()
        self.published = 0
        self.failure: Exception | None = None
        self._recording, self._rate = recording, rate
        self._stop = threading.Event()
        self._publishers: dict[str, Any] = {}
        for topic in topics:
            kind = message_class(recording.types[topic])
            durability = DurabilityPolicy.TRANSIENT_LOCAL if recording.latched(topic) else DurabilityPolicy.VOLATILE
            self._publishers[topic] = node.create_publisher(kind, topic, QoSProfile(depth=QUEUE, durability=durability))
        self._thread = threading.Thread(target=self._play, name="replay")

    def start(self) -> None:
        """Begin now."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _wait_for_listeners(self) -> None:
        """Give those who listen a moment to find us: a second where somebody does, a few where nobody does yet."""
        began = time.monotonic()
        while not self._stop.wait(0.05):
            heard = [publisher.get_subscription_count() > 0 for publisher in self._publishers.values()]
            waited = time.monotonic() - began
            if all(heard) or waited > LONELY_S or (any(heard) and waited > DISCOVERY_S):
                return

    def _play(self) -> None:
        try:
            self._wait_for_listeners()
            began, first = time.monotonic(), None
            for topic, arrived_ns, data in self._recording.serialized(self._publishers):
                first = arrived_ns if first is None else first
                due = began + (arrived_ns - first) * 1e-9 / self._rate
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                self._publishers[topic].publish(data)
                self.published += 1
            for publisher in self._publishers.values():
                publisher.wait_for_all_acked(Duration(seconds=DELIVERY_S))
        except Exception as error:
            # Raised again by the command, in its own thread.
            self.failure = error
        finally:
            self.done.set()
