"""A policy that thinks nothing: every joint state is answered at once with a command to stay there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from knuckle.core.config import setting
from knuckle.hardware.spec.contracts import HandCommand
from knuckle_ros import bus_qos
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.wire import command_msg, stamp_ns


@dataclass(frozen=True)
class Config:
    """Parameters."""

    validity: float = setting(0.1, "validity of a command", low=0.001, high=1.0, unit="s")


class PassthroughNode:
    """joint_states in, joint_commands out."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self._validity_ns = round(1e9 * self.config.validity)
        qos = bus_qos.commands(self.config.validity)
        self._commands = self.node.create_publisher(JointTrajectory, "joint_commands", qos)
        self.node.create_subscription(JointState, "joint_states", self._on_joints, bus_qos.JOINT_STATES)

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _on_joints(self, message: JointState) -> None:
        stamp = stamp_ns(message.header.stamp)
        command = HandCommand(stamp, stamp + self._validity_ns, np.array(message.position))
        self._commands.publish(command_msg(list(message.name), command))


def build(name: str, config: Config, context: HostContext) -> PassthroughNode:
    """The pass-through policy."""
    return PassthroughNode(name, config, context)
