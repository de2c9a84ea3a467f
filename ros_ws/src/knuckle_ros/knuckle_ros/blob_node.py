"""The watch's eye on the bus: depth images in, ``detections`` of what is neither table, hand nor the object in hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseStamped
from knuckle_msgs.msg import Detections
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String

from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.hands import hand_spec
from knuckle.perception.blobs import BlobConfig, BlobFinder, Blobs
from knuckle.perception.known_object import HeldObject
from knuckle.perception.pairing import PairingConfig
from knuckle.perception.pipeline import Sight
from knuckle.perception.things import Things
from knuckle.perception.view_config import ViewConfig
from knuckle.sim.objects import object_shape
from knuckle_ros.bus_qos import DEPTH, JOINTS_OF_FRAME, LATCHED, NEWEST
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.perception_feed import CAMERA_INFO, IMAGE, feed
from knuckle_ros.perception_feed import JOINT_STATES as JOINTS_TOPIC
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.thing_messages import detections_msg
from knuckle_ros.wire import pose_of, stamp_ns

FRAME = "world"
LABEL = "stranger"
SILENT_S = 1.0


@dataclass(frozen=True)
class Config(BlobConfig, PairingConfig, ViewConfig):
    """Parameters of the blob node: where it looks, what it takes for known, and from where it sees."""

    # A stranger seen late is better than one not seen.
    late_s: float = setting(0.6, "frames older than the newest joint state by more are dropped", low=0.0, high=1e6)


class _Watcher:
    """The finder, told before each frame where the object in hand is."""

    def __init__(self, finder: BlobFinder, held: HeldObject) -> None:
        self._finder, self._held = finder, held

    def build(self, frame: DepthFrame, q: Array) -> Blobs:
        self._finder.known = self._held.at(frame.stamp_ns)
        return self._finder.build(frame, q)


class BlobNode:
    """All the looking is the finder's; this converts, publishes and reports."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config).resolved()
        spec = hand_spec(self.config.hand, where=f"{name}.hand")
        self._held = HeldObject(spec)
        finder = BlobFinder(spec, self.config.extrinsics(), self.config)
        self.sight: Sight[Blobs] = Sight(spec, _Watcher(finder, self._held), self.config)
        self._detections = self.node.create_publisher(Detections, "detections", NEWEST)
        self._diagnostics = Diagnostics(self.node, context)
        self._diagnostics.level(Level.STALE, "no depth images")
        for topic, kind, qos in (
            (JOINTS_TOPIC, JointState, JOINTS_OF_FRAME),
            (CAMERA_INFO, CameraInfo, DEPTH),
            (IMAGE, Image, NEWEST),
        ):
            self.node.create_subscription(kind, topic, self._listener(topic), qos)
        self.node.create_subscription(PoseStamped, "object/pose", self._on_pose, NEWEST)
        self.node.create_subscription(String, "object/name", self._on_name, LATCHED)
        self._arrived: dict[int, float] = {}
        self._dropped, self._last = 0, time.monotonic()
        steady_timer(self.node, 1.0, self._on_second)

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _listener(self, topic: str) -> Any:
        def on_message(message: Any) -> None:
            if topic == IMAGE:
                self._arrived[stamp_ns(message.header.stamp)] = time.monotonic()
            try:
                for blobs in feed(self.sight, topic, message):
                    self._publish(blobs)
            except InputError as error:
                self._refuse(str(error))

        return on_message

    def _publish(self, blobs: Blobs) -> None:
        seen = Things(blobs.stamp_ns, FRAME, blobs.centres, blobs.sizes, blobs.scores, (LABEL,) * len(blobs))
        self._detections.publish(detections_msg(seen))
        self._last = time.monotonic()
        self._diagnostics.produced(self._last - self._arrived.pop(blobs.stamp_ns, self._last))
        self._diagnostics.level(Level.OK, f"{len(blobs) or 'no'} stranger{'' if len(blobs) == 1 else 's'} in sight")

    def _on_name(self, message: String) -> None:
        try:
            self._held.is_now(object_shape(message.data).primitives)
        except InputError as error:
            self._held.is_now(None)
            self._refuse(str(error))

    def _on_pose(self, message: PoseStamped) -> None:
        try:
            self._held.was_seen(stamp_ns(message.header.stamp), *pose_of(message, where="object/pose"))
        except InputError as error:
            self._refuse(str(error))

    def _refuse(self, line: str) -> None:
        self._diagnostics.dropped()
        self._diagnostics.value("last_refusal", line)

    def _on_second(self) -> None:
        lost, self._dropped = self.sight.dropped - self._dropped, self.sight.dropped
        if lost:
            self._diagnostics.dropped(lost)
            why = self.sight.last_problem or "late, or no joint state around them"
            self._diagnostics.level(Level.WARN, f"{lost} frames dropped: {why}")
        elif time.monotonic() - self._last > SILENT_S:
            self._diagnostics.level(Level.STALE, "no depth images, or no joint states")
        for stamp in list(self._arrived)[: -self.config.waiting]:
            del self._arrived[stamp]


def build(name: str, config: Config, context: HostContext) -> BlobNode:
    """The blob node ``name``."""
    return BlobNode(name, config, context)
