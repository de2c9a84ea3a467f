"""Counts on a topic, and fails where its parameters say so."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rclpy.node import Node
from std_msgs.msg import Int64

from knuckle.core.config import setting
from knuckle.core.errors import DeviceError
from knuckle_ros.host_context import HostContext


@dataclass(frozen=True)
class Config:
    """Parameters."""

    period: float = setting(0.05, "time between counts", low=0.001, high=10.0, unit="s")
    fail_at: int = setting(-1, "count at which a callback fails; -1 for never", low=-1, high=10**6)
    hang_at: int = setting(-1, "count at which a callback never returns; -1 for never", low=-1, high=10**6)
    fail_build: bool = setting(False, "fail while building")
    build_time: float = setting(0.0, "time that building takes", low=0.0, high=10.0, unit="s")


class CounterNode:
    """Publishes 0, 1, 2, ... and says which processes died."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        if config.fail_build:
            raise DeviceError("no such device", where="counter", right="another one")
        time.sleep(config.build_time)
        self.node = Node(name)
        self.config = config
        self.count = 0
        self.publisher = self.node.create_publisher(Int64, "count", 10)
        self.node.create_timer(config.period, self.tick)
        context.on_peer_death(lambda process: print(f"{name} heard that {process} died", flush=True))
        print(f"{name} built, restarted={context.restarted}", flush=True)

    def tick(self) -> None:
        if self.count == self.config.fail_at:
            raise ValueError("a bug in a callback")
        while self.count == self.config.hang_at:
            time.sleep(0.1)
        self.publisher.publish(Int64(data=self.count))
        self.count += 1

    def close(self) -> None:
        self.node.destroy_node()


def build(name: str, config: Config, context: HostContext) -> CounterNode:
    return CounterNode(name, config, context)
