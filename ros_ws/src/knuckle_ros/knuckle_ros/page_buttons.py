"""The page's buttons as services of the bus."""

from __future__ import annotations

import queue
from collections.abc import Callable
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


class PageButtons:
    """Calls the service of each button that was pressed. A stop also goes out as a topic, and at once."""

    def __init__(self, node: Node) -> None:
        self._stop = node.create_publisher(Bool, EMERGENCY_STOP, QoSProfile(depth=1))
        self._clients = {button: node.create_client(Trigger, service) for button, service in SERVICES.items()}
        self._presses: queue.SimpleQueue[str] = queue.SimpleQueue()

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
            client.call_async(Trigger.Request()).add_done_callback(_answer(button, tell))


def _answer(button: str, tell: Tell) -> Callable[[Any], None]:
    def on_answer(future: Any) -> None:
        answer = future.result()
        tell(button, answer.message or ("done" if answer.success else "refused"), answer.success)

    return on_answer
