"""The simulated IMU on the palm: ``imu`` and ``magnetic_field``, at 120 Hz of the world's time."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import Imu, MagneticField

from knuckle.core.config import setting
from knuckle.sim.imu import PalmImu
from knuckle_ros.bus_qos import STREAM
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.imu_messages import imu_message, mag_message
from knuckle_ros.paced_world import shared_world
from knuckle_ros.parameters import declare

FRAME = "palm_imu"


@dataclass(frozen=True)
class Config:
    """Parameters of the IMU node."""

    seed: int = setting(0, "seed of noise, bias and magnetic disturbance", low=0, high=2**31 - 1)


class ImuNode:
    """Publishes the samples that fall due at each step of the world."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self.world = shared_world(context, where=name)
        self.imu = PalmImu(self.world.sim.spec, seed=self.config.seed, start_ns=self.world.sim.now_ns)
        self._imu = self.node.create_publisher(Imu, "imu", STREAM)
        self._field = self.node.create_publisher(MagneticField, "magnetic_field", STREAM)
        self.diagnostics = Diagnostics(self.node, context, hardware="simulation")
        self.diagnostics.level(Level.OK, "simulated palm IMU")
        self.world.add_cycle(self._cycle)

    def close(self) -> None:
        """Publish no more."""
        self.world.remove_cycle(self._cycle)
        self.node.destroy_node()

    def _cycle(self, now_ns: int, step: int) -> None:
        samples = self.imu.read(now_ns)
        rows = zip(samples.stamp_ns.tolist(), samples.gyro, samples.accel, samples.mag, strict=True)
        for stamp, gyro, accel, mag in rows:
            self._imu.publish(imu_message(stamp, FRAME, gyro, accel))
            self._field.publish(mag_message(stamp, FRAME, mag))
            self.diagnostics.produced()


def build(name: str, config: Config, context: HostContext) -> ImuNode:
    """The IMU node ``name``."""
    return ImuNode(name, config, context)
