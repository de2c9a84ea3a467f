"""Rows made of fields of live topics, whatever their types: ``/imu:angular_velocity.x``, ``/skin:data[3]``.

A row comes with each message of the first field's topic; fields of other topics hold their newest value, as they do
where such columns are read from an MCAP file. Its time is the message's own where it has a header, else its arrival.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from knuckle.sensors.estimator import Array
from knuckle.sensors.hiss.table_file import column_place, field_value
from knuckle_ros.message_class import message_class
from knuckle_ros.recording.topic_qos import hearing_qos
from knuckle_ros.wire import stamp_ns

Hear = Callable[[Any], None]
_LOOK_S = 0.25
_DEPTH = 1000


class FieldRows:
    """Listens to the topics of ``places`` (D, ``topic:field``) as they appear; ``take`` gets stamp and row (D,).

    InputError for a place that is none, and, when the first message comes, for a field that its type lacks; ``heed``
    may wrap what hears messages, to see to that one.
    """

    def __init__(
        self,
        node: Node,
        places: Sequence[str],
        take: Callable[[int, Array], None],
        heed: Callable[[Hear], Hear] = lambda hear: hear,
    ) -> None:
        self._node, self._names, self._take, self._heed = node, tuple(places), take, heed
        self._places = [column_place(place, "bind") for place in places]
        self._first = self._places[0][0]
        self._newest = [math.nan] * len(places)
        self._heard: dict[str, Subscription] = {}
        self._timer = node.create_timer(_LOOK_S, self._look)
        self._look()

    def get_publisher_count(self) -> int:
        """Publishers of the topic that has the fewest of them."""
        return min(self._node.count_publishers(topic) for topic, _ in self._places)

    def topics(self) -> list[str]:
        """The topics that it hears, each once."""
        return sorted({topic for topic, _ in self._places})

    def newest(self) -> tuple[float, ...]:
        """The newest value of each field (D,), NaN where none has come."""
        return tuple(self._newest)

    def _look(self) -> None:
        """Subscribe to those topics that somebody publishes by now."""
        missing = {topic for topic, _ in self._places} - set(self._heard)
        if not missing:
            self._timer.cancel()
            return
        for topic, types in self._node.get_topic_names_and_types():
            offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
            if topic in missing and offered:
                wanted = hearing_qos(offered, types[0])
                qos = QoSProfile(depth=_DEPTH, reliability=wanted.reliability, durability=wanted.durability)
                kind = message_class(types[0])
                self._heard[topic] = self._node.create_subscription(kind, topic, self._heed(self._listener(topic)), qos)

    def _listener(self, topic: str) -> Hear:
        def hear(message: Any) -> None:
            for k, (own, field) in enumerate(self._places):
                if own == topic:
                    self._newest[k] = field_value(message, field, self._names[k], "bind")
            if topic == self._first and not any(map(math.isnan, self._newest)):
                self._take(self._time_of(message), np.array(self._newest))

        return hear

    def _time_of(self, message: Any) -> int:
        stamp = getattr(getattr(message, "header", None), "stamp", None)
        own = 0 if stamp is None else stamp_ns(stamp)
        return own or int(self._node.get_clock().now().nanoseconds)
