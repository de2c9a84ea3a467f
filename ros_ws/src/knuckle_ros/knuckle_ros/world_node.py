"""The simulated world on the bus: the clock, the truth about the object, and a new start when asked for one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from knuckle.core.config import setting
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.intruder import Intruder, IntruderConfig
from knuckle.sim.objects import object_shape
from knuckle.sim.world import SimWorld
from knuckle_ros.bus_qos import JOINT_STATES, LATCHED
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.paced_world import KEY, PacedWorld
from knuckle_ros.parameters import declare
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.wire import pose_msg, stamp_msg, transform_msg

CLOCK_STEPS = 2


@dataclass(frozen=True)
class Config:
    """Parameters of the world node. ``object_name``, ``seed`` (a reset takes them up) and the intruder's may be set."""

    hand: str = setting("dclaw3", "hand over the table")
    object_name: str = setting("hammer", "object on the table")
    seed: int = setting(1, "seed of the first start", low=0, high=2**31 - 1)
    fault_folder: str = setting("runs", "folder for the state of a simulation that broke down")
    intruder_speed: float = setting(0.35, "speed of what world/intruder sends in", low=0.01, high=5.0, unit="m/s")


class WorldNode:
    """Owns the world of its process; other nodes there find it in ``context.shared``."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config, self._on_parameter)
        self._object, self._seed = self.config.object_name, self.config.seed
        self._speed = self.config.intruder_speed
        object_shape(self._object)
        hand = hand_spec(self.config.hand, where=f"{name}.hand")
        # Stamps begin at the machine's own monotonic time, so that they also grow from one run of the process to the
        # next, and no listener sees time run backwards after a restart.
        world = SimWorld(
            hand,
            self._object,
            seed=self._seed,
            start_ns=time.monotonic_ns(),
            fault_folder=Path(self.config.fault_folder),
        )
        self.world = PacedWorld(world)
        context.shared[KEY] = self.world
        self._clock = self.node.create_publisher(Clock, "/clock", JOINT_STATES)
        self._pose = self.node.create_publisher(PoseStamped, "object/pose", JOINT_STATES)
        self._name = self.node.create_publisher(String, "object/name", LATCHED)
        self._name.publish(String(data=world.object_name))
        self._frames = self.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        mount = transform_msg(world.now_ns, "world", "hand_base", hand.mount_position, hand.mount_quaternion)
        self._frames.publish(TFMessage(transforms=[mount]))
        self.node.create_service(Trigger, "world/reset", self._on_reset)
        self.node.create_service(Trigger, "world/intruder", self._on_intruder)
        self._sides = np.random.default_rng(self._seed)
        self.diagnostics = Diagnostics(self.node, context, hardware="simulation")
        self.world.add_cycle(self._cycle)
        # Time begins when the executor runs, that is when every node of the process has been built.
        self._started = False
        steady_timer(self.node, 0.1, self._watch)

    def close(self) -> None:
        """Stop time."""
        self.world.stop()
        self.node.destroy_node()

    def _cycle(self, now_ns: int, step: int) -> None:
        if step % CLOCK_STEPS == 0:
            self._clock.publish(Clock(clock=stamp_msg(now_ns)))
        if step % self.world.steps_a_cycle == 0:
            truth = self.world.sim.object_truth()
            self._pose.publish(pose_msg(truth.stamp_ns, "world", truth.position, truth.quaternion))
            self.diagnostics.produced()

    def _watch(self) -> None:
        """The executor's side: start the world, raise what broke it, say how fast it runs."""
        if not self._started:
            self._started = True
            self.world.start()
        if self.world.failure is not None:
            raise self.world.failure
        factor = self.world.pace.real_time_factor()
        self.diagnostics.value("real_time_factor", factor)
        self.diagnostics.value("object", self.world.sim.object_name)
        self.diagnostics.value("lockstep_timeouts", str(self.world.lockstep.timeouts))
        self.diagnostics.level(Level.OK, f"{self.world.sim.object_name}, real-time factor {factor:.2f}")

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.world.sim.reset(self._seed, self._object)
        self._name.publish(String(data=self._object))
        self._seed += 1
        response.success, response.message = True, f"{self._object} on the table anew"
        return response

    def _on_intruder(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Send something into the camera's view; one at a time."""
        world = self.world.sim
        if world.intruder is not None and world.intruder.position(world.now_ns) is not None:
            response.success, response.message = False, "an intruder is under way"
            return response
        config = IntruderConfig(speed=self._speed)
        world.intruder = Intruder(world.spec, world.now_ns, self._sides, config)
        response.success, response.message = True, f"an intruder for {world.intruder.seconds:.1f} s"
        return response

    def _on_parameter(self, name: str, value: Any) -> None:
        if name == "object_name":
            object_shape(value)
            self._object = value
        elif name == "seed":
            self._seed = value
        elif name == "intruder_speed":
            self._speed = value


def build(name: str, config: Config, context: HostContext) -> WorldNode:
    """The world node ``name``."""
    return WorldNode(name, config, context)
