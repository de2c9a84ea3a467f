"""A commander that takes the lease and keeps the measured posture at every control cycle; silent where told to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from knuckle_msgs.srv import Arm
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from knuckle.core.config import setting
from knuckle_ros import bus_qos
from knuckle_ros.host_context import HostContext
from knuckle_ros.wire import duration_msg


@dataclass(frozen=True)
class Config:
    """Parameters."""

    engage: bool = setting(True, "take the lease at start; not after a restart")
    validity: float = setting(1.0 / 12.0, "validity of a command", low=0.01, high=1.0, unit="s")


class CommanderNode:
    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = config
        self.lease = ""
        self.silent = self.heard = False
        self.wanted = config.engage and not context.restarted
        self.arm = self.node.create_client(Arm, "hand/arm")
        self.commands = self.node.create_publisher(JointTrajectory, "joint_commands", bus_qos.commands(0.25))
        self.node.create_subscription(JointState, "joint_states", self.on_joints, bus_qos.JOINT_STATES)
        self.node.create_subscription(Bool, "commander/silent", self.on_silent, 10)
        self.node.create_timer(0.05, self.poll)

    def poll(self) -> None:
        # Discovery of the topics may come seconds after that of the service on a busy machine.
        connected = self.heard and self.commands.get_subscription_count() > 0
        if self.wanted and connected and self.arm.service_is_ready():
            self.wanted = False
            self.arm.call_async(Arm.Request(commander=self.node.get_name())).add_done_callback(self.armed)

    def armed(self, future: Any) -> None:
        answer = future.result()
        self.lease = answer.lease
        self.wanted = not answer.success
        print(f"armed: {answer.success} {answer.message}", flush=True)

    def on_silent(self, message: Bool) -> None:
        self.silent = message.data

    def on_joints(self, message: JointState) -> None:
        self.heard = True
        if not self.lease or self.silent:
            return
        validity = duration_msg(round(1e9 * self.config.validity))
        command = JointTrajectory(header=message.header, joint_names=message.name)
        command.header.frame_id = self.lease
        command.points = [JointTrajectoryPoint(positions=message.position, time_from_start=validity)]
        self.commands.publish(command)

    def close(self) -> None:
        self.node.destroy_node()


def build(name: str, config: Config, context: HostContext) -> CommanderNode:
    return CommanderNode(name, config, context)
