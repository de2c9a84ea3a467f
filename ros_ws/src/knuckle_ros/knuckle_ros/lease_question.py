"""The question for the hand's lease: one at a time, and given up where nobody answers."""

from __future__ import annotations

import time
from collections.abc import Callable

from knuckle_msgs.srv import Arm
from rclpy.node import Node
from rclpy.task import Future

ANSWER_S = 5.0
"""For which the hand's answer is waited for: what is asked of a driver that is dying is lost without a word."""


class LeaseQuestion:
    """Asks ``hand/arm`` for ``node``; ``answered`` gets the answer, or a refusal of our own after `ANSWER_S`.

    All of it happens in the executor's thread; `poll` is to be called from there now and then.
    """

    def __init__(self, node: Node, answered: Callable[[Arm.Response], None]) -> None:
        self._client, self._commander, self._answered = node.create_client(Arm, "hand/arm"), node.get_name(), answered
        self._asked: Future | None = None
        self._until = 0.0

    @property
    def can_be_asked(self) -> bool:
        """Whether the hand is there, and nothing is asked that it has not answered."""
        return self._asked is None and bool(self._client.service_is_ready())

    def ask(self) -> None:
        """Ask for the lease."""
        self._until = time.monotonic() + ANSWER_S
        self._asked = self._client.call_async(Arm.Request(commander=self._commander))
        self._asked.add_done_callback(self._on_answer)

    def poll(self) -> None:
        """Give up a question that waited too long; an answer that comes later counts no more."""
        if self._asked is not None and time.monotonic() >= self._until:
            self._client.remove_pending_request(self._asked)
            self._asked = None
            self._answered(Arm.Response(success=False, message=f"hand/arm: no answer in {ANSWER_S:g} s"))

    def _on_answer(self, asked: Future) -> None:
        # The answer to a question that was given up may come all the same.
        if asked is self._asked:
            self._asked = None
            self._answered(asked.result())
