"""A client of ``reorient`` that asks for one orientation after another: the demo's user."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from knuckle_msgs.action import Reorient
from knuckle_msgs.msg import SafetyState
from rclpy.action.client import ActionClient
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from knuckle.core import rotations
from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle_ros.bus_qos import LATCHED
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.wire import pose_of, to_ros_quaternion


@dataclass(frozen=True)
class Config:
    """Parameters of the goal node."""

    object_name: str = setting("", "object to turn; empty for the one that the world names")
    angle_low: float = setting(0.8, "smallest turn asked for", low=0.0, high=3.1416, unit="rad")
    angle_high: float = setting(1.6, "largest turn asked for", low=0.0, high=3.1416, unit="rad")
    tolerance: float = setting(0.4, "angle within which a goal is reached", low=0.01, high=3.0, unit="rad")
    time_limit: float = setting(15.0, "time a goal is given", low=0.5, high=600.0, unit="s")
    pause: float = setting(1.5, "wall time between goals", low=0.1, high=60.0, unit="s")
    seed: int = setting(1, "seed of the goals", low=0, high=2**31 - 1)


class GoalNode:
    """While the hand is armed it sends goals, random turns of the object; after a drop it asks the world to reset."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self.rng = np.random.default_rng(self.config.seed)
        self.orientation: np.ndarray | None = None
        self.object_name = self.config.object_name
        self.handle: Any = None
        self.waiting = self.armed = False
        self.reset_wanted = False
        self.diagnostics = Diagnostics(self.node, context)
        self.diagnostics.level(Level.OK, "waiting for the policy")
        self.client = ActionClient(self.node, Reorient, "reorient")
        self.reset = self.node.create_client(Trigger, "world/reset")
        self.node.create_subscription(PoseStamped, "object/pose", self._on_pose, 1)
        self.node.create_subscription(String, "object/name", self._on_name, LATCHED)
        self.node.create_subscription(SafetyState, "safety/state", self._on_safety, LATCHED)
        self.node.create_service(Trigger, "goals/next", self._on_next)
        self.timer = steady_timer(self.node, self.config.pause, self._tick)

    def close(self) -> None:
        """End the client."""
        self.client.destroy()
        self.node.destroy_node()

    def _on_pose(self, message: PoseStamped) -> None:
        # A stranger's nonsense is not drawn from; the policy, which hears it too, counts it.
        with suppress(InputError):
            self.orientation = pose_of(message, where="object/pose")[1]

    def _on_name(self, message: String) -> None:
        self.object_name = self.config.object_name or message.data

    def _on_safety(self, message: SafetyState) -> None:
        self.armed = message.state == SafetyState.ARMED

    def _on_next(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Give the running goal up; the next one follows after the pause."""
        if self.handle is not None:
            self.handle.cancel_goal_async()
        response.success, response.message = True, "the next goal follows"
        return response

    def _tick(self) -> None:
        known = self.orientation is not None and self.object_name != ""
        if self.waiting or not (self.armed and known and self.client.server_is_ready()):
            return
        if self.reset_wanted:
            if self.reset.service_is_ready():
                self.reset_wanted = False
                self.reset.call_async(Trigger.Request())
            return
        self.waiting = True
        goal = self._draw(np.asarray(self.orientation))
        self.client.send_goal_async(goal).add_done_callback(self._on_answer)

    def _draw(self, orientation: np.ndarray) -> Reorient.Goal:
        axis = self.rng.standard_normal(3)
        angle = np.array(self.rng.uniform(self.config.angle_low, self.config.angle_high))
        turn = rotations.from_axis_angle(axis / np.linalg.norm(axis), angle)
        goal = Reorient.Goal(object_name=self.object_name)
        goal.header.frame_id = "world"
        goal.orientation = to_ros_quaternion(rotations.normalize(rotations.multiply(turn, orientation)))
        goal.tolerance, goal.time_limit = self.config.tolerance, self.config.time_limit
        return goal

    def _on_answer(self, future: Any) -> None:
        handle = future.result()
        if not handle.accepted:
            self.waiting = False
            return
        self.handle = handle
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        result = future.result().result
        self.handle, self.waiting = None, False
        self.reset_wanted = result.outcome == "dropped"
        line = (
            f"{result.outcome}: {result.angle:.2f} rad left after {result.duration:.1f} s, "
            f"real-time factor {result.real_time_factor:.2f}"
        )
        self.node.get_logger().info(line)
        self.diagnostics.produced()
        self.diagnostics.level(Level.OK, line)


def build(name: str, config: Config, context: HostContext) -> GoalNode:
    """The goal node ``name``."""
    return GoalNode(name, config, context)
