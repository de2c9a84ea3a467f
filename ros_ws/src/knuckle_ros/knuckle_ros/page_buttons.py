"""The page's buttons as services of the bus."""

from __future__ import annotations

import queue
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from knuckle_ros.page import panel
from knuckle_ros.question import ANSWER_S, Question

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
        self._questions = {
            button: Question(node, Trigger, service, partial(self._on_answer, button))
            for button, service in SERVICES.items()
        }
        self._presses: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._said: list[tuple[str, str, bool]] = []

    def press(self, button: str) -> None:
        """From any thread: the web server has threads of its own."""
        if button == panel.STOP:
            self._stop.publish(Bool(data=True))
        self._presses.put(button)

    def serve(self, tell: Tell) -> None:
        """From the node's thread: call what was pressed; ``tell(button, words, good)`` the answers when they come.

        A button that is pressed while its last press waits for an answer asks nothing more.
        """
        while not self._presses.empty():
            button = self._presses.get()
            question = self._questions[button]
            if not question.offered:
                self._said.append((button, f"nobody offers {SERVICES[button]}", False))
            elif not question.waiting:
                question.ask(Trigger.Request())
        for question in self._questions.values():
            question.poll()
        said, self._said = self._said, []
        for words in said:
            tell(*words)

    def _on_answer(self, button: str, answer: Any) -> None:
        if answer is None:
            self._said.append((button, f"no answer from {SERVICES[button]} in {ANSWER_S:g} s", False))
        else:
            self._said.append((button, answer.message or ("done" if answer.success else "refused"), answer.success))
