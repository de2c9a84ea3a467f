"""A node beside the graph: hears how the hand is, and speaks as an operator and as a stranger would."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from knuckle_msgs.msg import HandStatus, SafetyState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from knuckle_ros import bus_qos

ANSWER_S = 5.0
NAMES = {0: "HOLD", 1: "ARMED", 2: "RELEASED", 3: "STOPPED"}


@dataclass(frozen=True)
class Heard:
    """A change of the hand's state, at a time of the machine's clock, s."""

    at_s: float
    state: str
    reason: str


class Listener:
    """Served by a thread of its own on ROS domain ``domain``."""

    def __init__(self, domain: int) -> None:
        self._context = Context()
        self._context.init(domain_id=domain)
        self._node = Node("soak", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.states: list[Heard] = []
        self.sent = self.refused = 0
        self.periods_ms: list[float] = []
        """p99 of the period of the servo loop, as its diagnostics say it once a second."""
        self._node.create_subscription(SafetyState, "safety/state", self._on_state, bus_qos.LATCHED)
        self._node.create_subscription(HandStatus, "hand/status", self._on_status, bus_qos.JOINT_STATES)
        self._node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, bus_qos.DIAGNOSTICS)
        self._commands = self._node.create_publisher(JointTrajectory, "joint_commands", bus_qos.commands(0.25))
        self._triggers: dict[str, Any] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="soak")
        self._thread.start()

    def _spin(self) -> None:
        while not self._stopping.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    @property
    def state(self) -> str:
        """The hand's state as last heard; empty before."""
        return self.states[-1].state if self.states else ""

    def trigger(self, service: str) -> tuple[bool, str]:
        """Call a Trigger; whether it was done, and its words. False too where nobody answers in time."""
        client = self._triggers.setdefault(service, self._node.create_client(Trigger, service))
        if not client.wait_for_service(ANSWER_S):
            return False, f"no {service}"
        done = threading.Event()
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda _: done.set())
        if not done.wait(ANSWER_S):
            client.remove_pending_request(future)
            return False, f"no answer from {service}"
        answer = future.result()
        return bool(answer.success), str(answer.message)

    def garbage(self, number: int) -> None:
        """One command that no hand must obey: of a stranger, of wrong joints, of NaN, without end."""
        positions = [[math.nan] * 9, [1e9] * 9, [0.5], []][number % 4]
        message = JointTrajectory(joint_names=[["elbow"], [f"joint_{n}" for n in range(9)], []][number % 3])
        message.header.frame_id = "0123456789abcdef"
        message.points = [JointTrajectoryPoint(positions=positions)] if number % 5 else []
        self._commands.publish(message)

    def close(self) -> None:
        """Leave the bus."""
        self._stopping.set()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_state(self, message: SafetyState) -> None:
        self.states.append(Heard(time.monotonic(), NAMES.get(message.state, str(message.state)), message.reason))

    def _on_status(self, message: HandStatus) -> None:
        self.sent, self.refused = message.sent, message.refused

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "hand":
                self.periods_ms += [float(pair.value) for pair in status.values if pair.key == "servo_period_p99_ms"]
