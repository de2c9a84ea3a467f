"""A subscription that hears its publishers whatever they offer: reliable ones without loss, and those that are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from knuckle_ros.imu_messages import LOSSLESS

_LOOK_S = 0.5


class EagerSubscription:
    """``take`` gets the messages of ``topic``.

    A reliable subscription is refused by a publisher that offers best effort, as drivers of sensors do: where one is
    there, this subscribes anew.
    """

    def __init__(self, node: Node, kind: Any, topic: str, take: Callable[[Any], None]) -> None:
        self._node, self._kind, self._take = node, kind, take
        self._subscription = node.create_subscription(kind, topic, take, LOSSLESS)
        self._timer = node.create_timer(_LOOK_S, self._look)
        self._look()

    def get_publisher_count(self) -> int:
        """Publishers that it hears, or would."""
        return int(self._node.count_publishers(self._subscription.topic_name))

    def topics(self) -> list[str]:
        """The topic that it hears, its name whole."""
        return [str(self._subscription.topic_name)]

    def _look(self) -> None:
        topic = self._subscription.topic_name
        offered = [info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(topic)]
        if ReliabilityPolicy.BEST_EFFORT in offered:
            self._timer.cancel()
            self._node.destroy_subscription(self._subscription)
            qos = QoSProfile(depth=LOSSLESS.depth, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._subscription = self._node.create_subscription(self._kind, topic, self._take, qos)
