"""The object's pose on the bus: labelled clouds in, ``object/pose`` out, of a known object, while it is not lost."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String

from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.perception.cloud import POINT, Cloud
from knuckle.perception.object_pose import ObjectEstimate, ObjectPoseConfig, ObjectPoseTracker
from knuckle.perception.view_config import ViewConfig
from knuckle.sim.objects import object_shape
from knuckle_ros.bus_qos import DEPTH, JOINT_STATES, LATCHED
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.perception_feed import FRAME, POINTS
from knuckle_ros.wire import pose_msg, stamp_ns

ANEW_NS = 1_000_000_000  # a stamp back by more is a clock set anew, or a recording begun again


@dataclass(frozen=True)
class Config(ObjectPoseConfig, ViewConfig):
    """Parameters of the object's tracker, the hand and the camera's place, and which object it is."""

    object_name: str = setting("", "object to follow; empty for the one that the world names")


class ObjectPoseNode:
    """All the thinking is the tracker's; this converts, publishes and reports.

    A pose of which nothing says that it is lost would be believed: while it is, ``object/pose`` keeps silent, and
    ``object/pose_with_covariance`` alone says where the object is guessed to be. A new word of the object's name, as
    after the world's reset, begins anew.
    """

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config).resolved()
        self.hand = hand_spec(self.config.hand, where=f"{name}.hand")
        self._extrinsics = self.config.extrinsics()
        self._tracker: ObjectPoseTracker | None = None
        self._frames = self._lost = 0
        self._pose = self.node.create_publisher(PoseStamped, "object/pose", JOINT_STATES)
        self._guess = self.node.create_publisher(PoseWithCovarianceStamped, "object/pose_with_covariance", JOINT_STATES)
        self.diagnostics = Diagnostics(self.node, context, hardware=self.hand.name)
        self.diagnostics.level(Level.STALE, "no object named")
        if self.config.object_name:
            self._follow(self.config.object_name)
        else:
            self.node.create_subscription(String, "object/name", self._on_name, LATCHED)
        self.node.create_subscription(PointCloud2, POINTS, self._on_points, DEPTH)

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _follow(self, name: str) -> None:
        """Begin with the object ``name``; InputError where it is not known."""
        if self._tracker is not None and self._tracker.thing.name == name:
            self._tracker.reset()
            return
        self._tracker = ObjectPoseTracker(object_shape(name), self.hand, self._extrinsics, self.config)
        self.diagnostics.level(Level.STALE, f"{name}: no clouds")

    def _on_name(self, message: String) -> None:
        try:
            self._follow(message.data)
        except InputError as error:
            self._tracker = None
            self._refuse(error)

    def _on_points(self, message: PointCloud2) -> None:
        if self._tracker is None:
            return
        began = time.monotonic()
        try:
            seen = self._push(self._tracker, cloud_of(message))
        except InputError as error:
            self._refuse(error)
            return
        self._publish(seen)
        self.diagnostics.produced(time.monotonic() - began)
        self._report(self._tracker.thing.name, seen)

    def _push(self, tracker: ObjectPoseTracker, cloud: Cloud) -> ObjectEstimate:
        if tracker.stamp_ns is not None and cloud.stamp_ns < tracker.stamp_ns - ANEW_NS:
            tracker.reset()
        try:
            return tracker.push(cloud)
        except InputError:
            if not tracker.found:
                # The next cloud is judged as the first was: the object may be put there yet.
                tracker.reset()
            raise

    def _publish(self, seen: ObjectEstimate) -> None:
        pose = pose_msg(seen.stamp_ns, "world", seen.position, seen.quaternion)
        guess = PoseWithCovarianceStamped(header=pose.header)
        guess.pose.pose = pose.pose
        guess.pose.covariance = seen.covariance.reshape(-1).tolist()
        self._guess.publish(guess)
        if not seen.lost:
            self._pose.publish(pose)

    def _report(self, name: str, seen: ObjectEstimate) -> None:
        self._frames += 1
        self._lost += seen.lost
        self.diagnostics.value("frames", str(self._frames))
        self.diagnostics.value("lost_frames", str(self._lost))
        self.diagnostics.value("rivals", str(seen.rivals))
        deviation = float(np.degrees(np.sqrt(np.linalg.eigvalsh(seen.covariance[3:, 3:])[-1])))
        self.diagnostics.value("deviation_deg", deviation)
        if seen.lost:
            self.diagnostics.level(Level.WARN, f"{name} is lost")
        else:
            self.diagnostics.level(Level.OK, f"following {name}")

    def _refuse(self, error: InputError) -> None:
        self.diagnostics.dropped()
        self.diagnostics.level(Level.WARN, str(error))


def cloud_of(message: PointCloud2) -> Cloud:
    """The labelled cloud of a message; InputError where its frame, its fields or its size are not those of ours."""
    offsets = {field.name: int(field.offset) for field in message.fields}
    wanted = {name: int(POINT.fields[name][1]) for name in POINT.names or ()} if POINT.fields else {}
    if message.header.frame_id != FRAME:
        raise InputError(f"frame '{message.header.frame_id}'", where=POINTS, right=FRAME)
    if offsets != wanted or message.point_step != POINT.itemsize or message.is_bigendian:
        what = f"fields {', '.join(offsets) or 'none'} in points of {message.point_step} bytes"
        raise InputError(what, where=POINTS, right=f"x, y, z, label in points of {POINT.itemsize}")
    if len(message.data) != message.width * message.height * POINT.itemsize:
        size = f"{len(message.data)} bytes"
        raise InputError(size, where=POINTS, right=f"{message.width * message.height} points of {POINT.itemsize}")
    return Cloud.unpacked(stamp_ns(message.header.stamp), memoryview(message.data))


def build(name: str, config: Config, context: HostContext) -> ObjectPoseNode:
    """The node of the object's pose, ``name``."""
    return ObjectPoseNode(name, config, context)
