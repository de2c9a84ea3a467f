"""The bus for a command that joins a running graph with one node of its own, until it is done or told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_default_context, try_shutdown

from knuckle_ros.executor import HostExecutor


@contextlib.contextmanager
def joined_bus(domain: int) -> Iterator[Callable[[Node | Sequence[Node], Callable[[], bool]], bool]]:
    """Join ROS domain ``domain``, on this machine alone.

    Yields ``serve(node, done)``, which serves the node, or several, until ``done()`` (True) or SIGINT or SIGTERM
    (False). Signals only set a flag, so that what the command has opened is closed in order.
    """
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    told: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        told.append(number)

    def serve(node: Node | Sequence[Node], done: Callable[[], bool]) -> bool:
        executor = HostExecutor(get_default_context())
        for one in [node] if isinstance(node, Node) else node:
            executor.add_node(one)
        try:
            executor.spin(lambda: bool(told) or done())
        finally:
            executor.shutdown()
        return not told

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    rclpy.init(args=["--ros-args", "--disable-external-lib-logs"], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield serve
    finally:
        try_shutdown()
        for number, handler in before.items():
            signal.signal(number, handler)
