"""The depth camera on the bus: images and their pinhole, of a RealSense, a recording, or the simulated world.

``source`` says which. ``virtual`` shows the simulated world to the RealSense driver through the library's own software
device, so that every line of the driver runs; ``auto``, ``egl`` and ``rays`` publish the world's picture as it is.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.hardware.realsense.driver import RealSenseCamera
from knuckle.hardware.realsense.settings import CameraSettings, checked
from knuckle.hardware.spec.contracts import DepthFrame, Extrinsics
from knuckle.hardware.spec.extrinsics_file import load
from knuckle.hardware.spec.mounts import OPTICAL_FRAME, pinhole
from knuckle.hardware.virtual.camera import VirtualCamera
from knuckle.hardware.virtual.camera_control import CameraControl, camera_socket
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.depth_noise import DepthNoise
from knuckle_ros.bus_qos import DEPTH, LATCHED
from knuckle_ros.camera_reader import CameraReader, said_of
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.paced_world import PacedWorld, shared_world
from knuckle_ros.parameters import declare
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.wire import camera_info_msg, colour_msg, depth_msg, transform_msg
from knuckle_ros.world_pictures import WorldPictures

SIMULATED = ("auto", "egl", "rays")


@dataclass(frozen=True)
class Config(CameraSettings):
    """Parameters of the camera node: what is seen; of the simulated picture; and those of the RealSense driver."""

    source: str = setting("auto", "what is seen", choices=(*SIMULATED, "virtual", "realsense"))
    rate: float = setting(12.0, "pictures of the world's time", low=0.1, high=60.0, unit="Hz")
    width: int = setting(320, "columns of the simulated picture", low=16, high=1920, unit="px")
    height: int = setting(180, "rows of the simulated picture", low=16, high=1080, unit="px")

    every: int = setting(1, "of so many frames of a real camera one is published (60 Hz: 5 for 12)", low=1, high=90)
    camera_file: str = setting("", "file of `knuckle calibrate camera`: where a real camera stands")
    hand: str = setting("dclaw3", "hand that a real camera stands over")

    def driver(self) -> CameraSettings:
        """The driver's own settings."""
        names = [field.name for field in dataclasses.fields(CameraSettings)]
        return CameraSettings(**{name: getattr(self, name) for name in names})


class CameraNode:
    """Publishes what its source gives. Drawing and reading have threads of their own."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        if self.config.playback and self.config.source != "realsense":
            where, right = f"{name}.playback", f"--set {name}.source=realsense"
            raise InputError(f"source '{self.config.source}' plays nothing", where=where, right=right)
        self._images = self.node.create_publisher(Image, "depth/image_rect_raw", DEPTH)
        self._infos = self.node.create_publisher(CameraInfo, "depth/camera_info", DEPTH)
        if self.config.colour:
            self._colours = self.node.create_publisher(Image, "color/image_raw", DEPTH)
            self._colour_infos = self.node.create_publisher(CameraInfo, "color/camera_info", DEPTH)
        self._frames = self.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        self._pictures: WorldPictures | None = None
        self._reader: CameraReader | None = None
        self.virtual: VirtualCamera | None = None
        self._control: CameraControl | None = None
        self._line, self._dropped, self._read = "", 0, 0
        try:
            self._open(name, context)
        except BaseException:
            self._close_sources()
            raise
        self.diagnostics = Diagnostics(self.node, context, hardware=self._line)
        steady_timer(self.node, 0.05, self._watch)

    def close(self) -> None:
        """End the threads, the camera's process and the renderer."""
        self._close_sources()
        self.node.destroy_node()

    def _close_sources(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._pictures is not None:
            self._pictures.close()
        if self._reader is not None:
            self._reader.close()

    def _open(self, name: str, context: HostContext) -> None:
        if self.config.source == "realsense":
            settings = checked(self.config.driver(), where=name)
            self._line = "RealSense" if not settings.playback else settings.playback
            place = None if not self.config.camera_file else Path(self.config.camera_file)
            found = None if place is None else load(place, hand=self.config.hand, camera=settings.serial)
            camera = RealSenseCamera(settings)
            self._reader = CameraReader(camera, self._publish)
            if found is not None:
                if found.camera != camera.status().serial:
                    where, right = f"{name}.camera_file", "`knuckle calibrate camera` writes one of this camera"
                    raise InputError(f"it is the place of camera {found.camera}", where=where, right=right)
                self._place(time.monotonic_ns(), found.extrinsics)
            return
        world = shared_world(context, where=name)
        if self.config.source == "virtual":
            self._open_virtual(name, world)
        else:
            self._open_simulated(world)

    def _open_simulated(self, world: PacedWorld) -> None:
        k = pinhole(self.config.width, self.config.height)
        camera = SimDepthCamera(world.sim, source=self.config.source, intrinsics=k)
        self._line = f"simulation ({camera.source})"
        self.node.get_logger().info(f"depth by {camera.source}: {camera.reason}")
        self._place(world.sim.now_ns, camera.extrinsics)
        self._pictures = WorldPictures(world, camera, self.config.rate, self._publish_drawn)

    def _open_virtual(self, name: str, world: PacedWorld) -> None:
        settings = checked(self.config.driver(), where=name)
        camera = SimDepthCamera(world.sim, intrinsics=pinhole(*settings.depth_size), noise=DepthNoise())
        self._line = f"virtual ({camera.source})"
        self._place(world.sim.now_ns, camera.extrinsics)
        self.virtual = VirtualCamera(camera)
        self._control = CameraControl(self.virtual, camera_socket())
        driver = RealSenseCamera(settings, virtual=self.virtual, now_ns=lambda: world.sim.now_ns)
        self._reader = CameraReader(driver, self._publish)
        self._pictures = WorldPictures(world, camera, self.config.rate, self._expose)

    def _place(self, stamp_ns: int, place: Extrinsics) -> None:
        frame = transform_msg(stamp_ns, "hand_base", OPTICAL_FRAME, place.position, place.quaternion)
        self._frames.publish(TFMessage(transforms=[frame]))

    def _expose(self, frame: DepthFrame, seconds: float) -> None:
        if self.virtual is not None:
            self.virtual.show(frame)

    def _publish_drawn(self, frame: DepthFrame, seconds: float) -> None:
        self._send(frame)
        self.diagnostics.produced(seconds)

    def _publish(self, frame: DepthFrame) -> None:
        self._read += 1
        if self.config.source == "realsense" and self._read % self.config.every:
            return
        self._send(frame)
        self.diagnostics.produced((time.monotonic_ns() - frame.arrival_ns) * 1e-9)

    def _send(self, frame: DepthFrame) -> None:
        self._infos.publish(camera_info_msg(frame.stamp_ns, frame.frame, frame.intrinsics))
        self._images.publish(depth_msg(frame))
        if frame.colour is not None and self.config.colour:
            info = camera_info_msg(frame.stamp_ns, frame.colour.frame, frame.colour.intrinsics)
            self._colour_infos.publish(info)
            self._colours.publish(colour_msg(frame.stamp_ns, frame.colour))

    def _watch(self) -> None:
        """Raise what broke a thread; say how the camera is."""
        for thread in (self._pictures, self._reader):
            if thread is not None and thread.failure is not None:
                raise thread.failure
        missed = 0 if self._pictures is None else self._pictures.missed
        if self._reader is None:
            self._count_drops(missed)
            self.diagnostics.level(Level.OK, f"depth by {self._line}")
            return
        status = self._reader.camera.status()
        for reason, count in status.dropped.items():
            self.diagnostics.value(f"dropped_{reason}", str(count))
        self.diagnostics.value("openings", str(status.openings))
        self.diagnostics.value("kills", str(status.kills))
        self._count_drops(missed + sum(status.dropped.values()))
        seeing = status.state == "streaming" and not status.problem
        ended = status.state == "ended"
        self.diagnostics.level(Level.OK if seeing else Level.WARN if ended else Level.ERROR, said_of(status))

    def _count_drops(self, total: int) -> None:
        if total > self._dropped:
            self.diagnostics.dropped(total - self._dropped)
            self._dropped = total


def build(name: str, config: Config, context: HostContext) -> CameraNode:
    """The camera node ``name``."""
    return CameraNode(name, config, context)
