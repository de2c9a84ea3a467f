"""A driver without a hand: joint states at a steady rate, and the time until each is answered by a command."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from knuckle.core.config import setting
from knuckle.hardware.spec.contracts import HandState
from knuckle.hardware.spec.hands import hand_spec
from knuckle_ros import bus_qos
from knuckle_ros.bench.results import DONE, MEASURING, WAITING, WARM_UP_S, latency_figures, write_results
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.wire import command_of, joint_state_msg

LAST_ANSWERS_S = 1.0


@dataclass(frozen=True)
class Config:
    """Parameters."""

    hand: str = setting("dclaw3", "hand whose joints are published")
    rate: float = setting(100.0, "joint states", low=1.0, high=1000.0, unit="Hz")
    seconds: float = setting(10.0, "time that is measured", low=0.5, high=3600.0, unit="s")
    results: str = setting("", "folder for what was measured")


class DriverNode:
    """Publishes from a thread of its own on a steady schedule, as a servo loop does."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self._context = context
        self._spec = hand_spec(self.config.hand, where=f"{name}.hand")
        self._sent: dict[int, float] = {}
        self._answered: dict[int, float] = {}
        self._measured_from_ns = 0
        self._states = self.node.create_publisher(JointState, "joint_states", bus_qos.JOINT_STATES)
        self.node.create_subscription(JointTrajectory, "joint_commands", self._on_command, bus_qos.commands())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driver")
        self._thread.start()

    def close(self) -> None:
        """End, and write what was measured."""
        self._stopping.set()
        self._thread.join()
        measured = {stamp for stamp in self._sent if self._measured_from_ns and stamp >= self._measured_from_ns}
        trips = [self._answered[stamp] - self._sent[stamp] for stamp in measured if stamp in self._answered]
        counts = {"joint_states_sent": float(len(measured)), "commands_received": float(len(trips))}
        write_results(self.config.results, self.node.get_name(), {**latency_figures("command", trips), **counts})
        self.node.destroy_node()

    def _on_command(self, message: JointTrajectory) -> None:
        now = time.monotonic()
        _, _, command = command_of(message)
        self._answered[command.stamp_ns] = now

    def _run(self) -> None:
        self._say(WAITING)
        while not self._states.get_subscription_count():
            if self._stopping.wait(0.05):
                return
        self._publish_for(WARM_UP_S)
        self._measured_from_ns = time.monotonic_ns()
        self._say(MEASURING)
        self._publish_for(self.config.seconds)
        self._stopping.wait(LAST_ANSWERS_S)
        self._say(DONE)

    def _publish_for(self, seconds: float) -> None:
        names, dof = list(self._spec.joint_names), self._spec.dof
        began = time.monotonic()
        for count in range(round(seconds * self.config.rate)):
            if self._stopping.wait(max(0.0, began + count / self.config.rate - time.monotonic())):
                return
            stamp_ns = time.monotonic_ns()
            zero = np.zeros(dof)
            state = HandState(stamp_ns, count, self._spec.home, zero, zero, zero, np.zeros(dof, np.int32))
            self._sent[stamp_ns] = time.monotonic()
            self._states.publish(joint_state_msg(names, state))

    def _say(self, line: str) -> None:
        self._context.report(self.node.get_name(), 0, line)


def build(name: str, config: Config, context: HostContext) -> DriverNode:
    """The bench's driver."""
    return DriverNode(name, config, context)
