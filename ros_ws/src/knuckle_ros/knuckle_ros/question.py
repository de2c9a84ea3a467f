"""A question to a service: one at a time, and given up where nobody answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

ANSWER_S = 5.0
"""For which an answer is waited for: what is asked of a process that has just been killed is lost without a word, and
DDS shows it for seconds on."""


class Question:
    """Asks ``service``, of type ``kind``, for ``node``; ``answered`` gets the answer, or None after `ANSWER_S`.

    All of it happens in the executor's thread; `poll` is to be called from there now and then.
    """

    def __init__(self, node: Node, kind: Any, service: str, answered: Callable[[Any | None], None]) -> None:
        self._client, self._answered = node.create_client(kind, service), answered
        self._asked: Any = None
        self._until = 0.0

    @property
    def offered(self) -> bool:
        """Whether somebody offers the service."""
        return bool(self._client.service_is_ready())

    @property
    def waiting(self) -> bool:
        """Whether something is asked that is neither answered nor given up."""
        return self._asked is not None

    def ask(self, request: Any) -> None:
        """Send ``request``; only where none is waiting."""
        self._until = time.monotonic() + ANSWER_S
        self._asked = self._client.call_async(request)
        self._asked.add_done_callback(self._on_answer)

    def poll(self) -> None:
        """Give up a question that waited too long; an answer that comes later counts no more."""
        if self._asked is not None and time.monotonic() >= self._until:
            self._client.remove_pending_request(self._asked)
            self._asked = None
            self._answered(None)

    def _on_answer(self, asked: Any) -> None:
        # The answer to a question that was given up may come all the same.
        if asked is self._asked:
            self._asked = None
            self._answered(asked.result())
