"""The page's buttons as services of the bus."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from knuckle_ros.page import panel

EMERGENCY_STOP = "emergency_stop"
SERVICES = {
    panel.STOP: EMERGENCY_STOP,
    panel.ARM: "policy/engage",
    panel.REARM: "hand/rearm",
    panel.NEXT_GOAL: "goals/next",
    panel.RESET: "world/reset",
    panel.INTRUDER: "world/intruder",
}
Tell = Callable[[str, str, bool], None]

ANSWER_S = 5.0
"""After which the page says that nobody answered: who has just been killed is offered by DDS for seconds on."""


@dataclass(frozen=True)
class Asked:
    """A press that waits for its answer, until a moment of the monotonic clock."""

    button: str
    future: Any
    until: float


class PageButtons:
    """Calls the service of each button that was pressed. A stop also goes out as a topic, and at once."""

    def __init__(self, node: Node) -> None:
        self._stop = node.create_publisher(Bool, EMERGENCY_STOP, QoSProfile(depth=1))
        self._clients = {button: node.create_client(Trigger, service) for button, service in SERVICES.items()}
        self._presses: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._asked: list[Asked] = []

    def press(self, button: str) -> None:
        """From any thread: the web server has threads of its own."""
        if button == panel.STOP:
            self._stop.publish(Bool(data=True))
        self._presses.put(button)

    def serve(self, tell: Tell) -> None:
        """From the node's thread: call what was pressed; ``tell(button, words, good)`` the answers when they come."""
        while not self._presses.empty():
            button = self._presses.get()
            client = self._clients[button]
            if not client.service_is_ready():
                tell(button, f"nobody offers {SERVICES[button]}", False)
                continue
            self._asked.append(Asked(button, client.call_async(Trigger.Request()), time.monotonic() + ANSWER_S))
        self._asked = [asked for asked in self._asked if not self._ended(asked, tell)]

    def _ended(self, asked: Asked, tell: Tell) -> bool:
        """Whether a press is over, and said so: answered, or given up."""
        if asked.future.done():
            answer = asked.future.result()
            tell(asked.button, answer.message or ("done" if answer.success else "refused"), answer.success)
            return True
        if time.monotonic() < asked.until:
            return False
        self._clients[asked.button].remove_pending_request(asked.future)
        tell(asked.button, f"no answer from {SERVICES[asked.button]} in {ANSWER_S:g} s", False)
        return True
