"""The page on the bus: shows what the topics say and turns its buttons into services.

Messages only overwrite what was heard before; twenty times a second, and only while a browser looks, what has changed
goes to the page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from knuckle_msgs.msg import Forecasts, SafetyState, Tracks, ZoneState
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Imu, JointState, PointCloud2
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from knuckle.core.config import setting
from knuckle.core.errors import InputError, RecordingError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import OPTICAL_FRAME
from knuckle.perception.cloud import POINT, Cloud
from knuckle.sim.objects import OBJECTS, object_shape
from knuckle_ros.bus_qos import LATCHED
from knuckle_ros.configuration_topic import SUFFIX, said_configuration
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.page.heard import AngleHistory, Health, Pace, Safety, Zone
from knuckle_ros.page.page_server import close_server, open_server
from knuckle_ros.page.panel import Panel
from knuckle_ros.page.panel_text import stream_source, watch_words
from knuckle_ros.page.scene_view import SceneView
from knuckle_ros.page.watch_marks import Mark, marks
from knuckle_ros.page.watch_view import WatchView
from knuckle_ros.page_buttons import PageButtons
from knuckle_ros.parameters import declare
from knuckle_ros.perception_feed import CAMERA_INFO, FRAME, JOINT_STATES, POINTS
from knuckle_ros.wire import from_ros_quaternion, intrinsics_of, pose_of, stamp_ns

FRAME_S = 0.05
CURVE_S = 0.4
CLOUD_S = 0.15
NEWEST = QoSProfile(depth=1)
STATIC_FRAMES = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PLAYER = "player"
SOURCE_S = 2.0


@dataclass(frozen=True)
class Config:
    """Parameters of the page."""

    port: int = setting(8080, "port of the page on this machine", low=1024, high=65535)
    hand: str = setting("dclaw3", "hand to draw")
    object_name: str = setting("hammer", "object to draw until the world names its own", choices=tuple(sorted(OBJECTS)))
    stream: str = setting("palm", "stream whose <stream>/estimate is shown")


class PageNode:
    """The page, its web server included. DeviceError where the port is taken."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self.spec = hand_spec(self.config.hand, where=f"{name}.hand")
        self._object_name = self.config.object_name
        self._server = open_server(self.config.port, where=f"{name}.port")
        self._scene = SceneView(self._server, self.spec, object_shape(self._object_name))
        self._watch_view = WatchView(self._server)
        self._buttons = PageButtons(self.node)
        self._panel = Panel(self._server, self._buttons.press, self._scene.want_cloud)
        self._diagnostics = Diagnostics(self.node, context)
        self._news: dict[str, Any] = {}
        self._nodes: dict[str, Health] = {}
        self._safety: Safety | None = None
        self._task = ""
        self._watch: str | None = None
        self._zone: Zone | None = None
        self._forecasts: Forecasts | None = None
        self._goal: Array | None = None
        self._degrees: float | None = None
        self._points: int | None = None
        self._camera = self._object_seen = False
        self._estimate: Imu | None = None
        self._cloud: PointCloud2 | None = None
        self._pace, self._angles = Pace(), AngleHistory()
        self._curve_due = self._cloud_due = self._source_due = 0.0
        self._publishers: set[str] = set()
        self._recording = ""
        self._subscribe()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.node.create_timer(FRAME_S, self._draw, clock=steady)
        self.node.get_logger().info(f"the page is at http://127.0.0.1:{self.config.port}")

    def close(self) -> None:
        """Stop the web server and leave the bus."""
        close_server(self._server)
        self.node.destroy_node()

    # What comes in

    def _subscribe(self) -> None:
        hear = self.node.create_subscription
        hear(JointState, JOINT_STATES, self._on_joints, NEWEST)
        hear(PoseStamped, "object/pose", self._on_object, NEWEST)
        hear(PoseStamped, "reorient/goal", self._on_goal, LATCHED)
        hear(String, "reorient/status", self._on_task, LATCHED)
        hear(SafetyState, "safety/state", self._on_safety, LATCHED)
        hear(PointCloud2, POINTS, self._on_cloud, NEWEST)
        hear(String, "zone/threat", self._on_watch, LATCHED)
        hear(ZoneState, "zone/state", self._on_zone, LATCHED)
        hear(Tracks, "tracks", self._keep("tracks"), NEWEST)
        hear(Forecasts, "forecasts", self._on_forecasts, NEWEST)
        hear(String, f"{PLAYER}{SUFFIX}", self._on_player, LATCHED)
        hear(TFMessage, "/tf_static", self._on_frames, STATIC_FRAMES)
        hear(CameraInfo, CAMERA_INFO, self._keep("camera"), NEWEST)
        hear(Imu, f"{self.config.stream}/estimate", self._keep("estimate"), NEWEST)
        hear(DiagnosticArray, "diagnostics", self._on_diagnostics, QoSProfile(depth=50))

    def _keep(self, key: str) -> Callable[[Any], None]:
        def on_message(message: Any) -> None:
            self._news[key] = message

        return on_message

    def _on_cloud(self, message: PointCloud2) -> None:
        self._cloud = message

    def _on_player(self, message: String) -> None:
        try:
            config = said_configuration(message.data, where=f"{PLAYER}{SUFFIX}")
        except RecordingError as error:
            self.node.get_logger().warning(str(error), once=True)
            return
        self._recording = PurePath(str(config.get("file", ""))).name

    def _on_frames(self, message: TFMessage) -> None:
        for frame in message.transforms:
            if (frame.header.frame_id, frame.child_frame_id) == (FRAME, OPTICAL_FRAME):
                p, q = frame.transform.translation, frame.transform.rotation
                self._scene.place_camera(np.array([p.x, p.y, p.z]), from_ros_quaternion(q))

    def _on_joints(self, message: JointState) -> None:
        self._pace.note(time.monotonic(), stamp_ns(message.header.stamp))
        self._news["joints"] = message

    def _on_object(self, message: PoseStamped) -> None:
        pose = self._pose(message, "object/pose")
        if pose is None:
            return
        self._object_seen = True
        self._news["object"] = pose
        orientation = pose[1]
        self._degrees = self._angles.note(stamp_ns(message.header.stamp), orientation, self._goal)

    def _on_goal(self, message: PoseStamped) -> None:
        pose = self._pose(message, "reorient/goal") if message.header.frame_id else None
        self._goal = None if pose is None else pose[1]
        self._news["goal"] = True

    def _pose(self, message: PoseStamped, topic: str) -> tuple[Array, Array] | None:
        """Position and orientation; None, and a warning, where a stranger published what is neither."""
        try:
            return pose_of(message, where=topic)
        except InputError as error:
            self.node.get_logger().warning(str(error), once=True)
            return None

    def _on_task(self, message: String) -> None:
        self._task = message.data

    def _on_watch(self, message: String) -> None:
        self._watch = message.data

    def _on_zone(self, message: ZoneState) -> None:
        self._zone = Zone(
            message.state == ZoneState.WATCHING, message.state == ZoneState.OFF, message.reason, time.monotonic()
        )

    def _on_forecasts(self, message: Forecasts) -> None:
        self._forecasts = message

    def _on_safety(self, message: SafetyState) -> None:
        names = {
            SafetyState.HOLD: "HOLD",
            SafetyState.ARMED: "ARMED",
            SafetyState.RELEASED: "RELEASED",
            SafetyState.STOPPED: "STOPPED",
        }
        state = names.get(message.state, f"UNKNOWN {message.state}")
        self._safety = Safety(state, message.holder, message.reason)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            rate = _number(values["rate_hz"]) if "rate_hz" in values else None
            self._nodes[status.name] = Health(int.from_bytes(status.level, "little"), status.message, now, rate)
            zone = [_number(word) for word in values.get("zone_ball_m", "").split()]
            if len(zone) == 4 and all(v is not None and np.isfinite(v) for v in zone):
                *centre, radius = (float(v or 0.0) for v in zone)
                self._watch_view.show_zone(np.array(centre), radius)
            if values.get("object", self._object_name) != self._object_name and values["object"] in OBJECTS:
                self._object_name = values["object"]
                self._scene.draw_object(object_shape(self._object_name))

    # What goes to the browser

    def _draw(self) -> None:
        self._buttons.serve(self._panel.tell)
        viewers = len(self._server.get_clients())
        self._diagnostics.level(Level.OK, f"{viewers or 'nobody'} looking at port {self.config.port}")
        if not viewers:
            return
        self._diagnostics.produced()
        news, self._news = self._news, {}
        for key, show in (
            ("joints", self._show_joints),
            ("object", self._show_object),
            ("goal", lambda _: self._scene.show_goal(self._goal)),
            ("camera", self._show_camera),
            ("estimate", self._show_estimate),
            ("tracks", lambda told: self._watch_view.show(self._marks(told), bool(self._watch))),
        ):
            if key in news:
                show(news[key])
        now = time.monotonic()
        if self._cloud is not None and now >= self._cloud_due:
            self._cloud_due = now + CLOUD_S
            self._show_cloud(self._cloud)
        if now >= self._curve_due:
            self._curve_due = now + CURVE_S
            self._panel.show_curve(*self._angles.curve())
            self._panel.show_angle(self._degrees, self._object_name, self._object_seen)
            self._panel.show_safety(
                self._safety, self._task, self._pace.factor(now), watch_words(self._watch, self._zone, now)
            )
            self._panel.show_nodes(self._nodes, now)
            self._panel.show_cloud(self._points, self._camera)
            self._show_numbers()

    def _marks(self, told: Tracks) -> list[Mark]:
        return marks(told, self._forecasts, self._watch_view.zone_m)

    def _show_joints(self, message: JointState) -> None:
        at = dict(zip(message.name, message.position, strict=False))
        q = np.array([at.get(name, np.nan) for name in self.spec.joint_names])
        if np.isfinite(q).all():
            self._scene.show_joints(q)

    def _show_object(self, pose: tuple[Array, Array]) -> None:
        self._scene.show_object(*pose)

    def _show_cloud(self, message: PointCloud2) -> None:
        """Draw a cloud of perception's own layout; another publisher's is left alone."""
        self._cloud = None
        if message.point_step != POINT.itemsize or len(message.data) % POINT.itemsize:
            self.node.get_logger().warning(f"{POINTS}: not a cloud of perception", once=True)
            return
        cloud = Cloud.unpacked(0, memoryview(message.data))
        self._points = len(cloud.points)
        self._scene.show_cloud(cloud.points, cloud.label)

    def _show_camera(self, message: CameraInfo) -> None:
        self._camera = True
        try:
            self._scene.show_camera(intrinsics_of(message))
        except InputError as error:
            self.node.get_logger().warning(str(error), once=True)

    def _show_estimate(self, message: Imu) -> None:
        self._estimate = message
        self._scene.show_stream(from_ros_quaternion(message.orientation))

    def _show_numbers(self) -> None:
        if self._estimate is None:
            self._panel.show_stream(None, False, None, self._source())
            return
        variances = np.array(self._estimate.orientation_covariance)[[0, 4, 8]]
        valid = bool(variances[0] >= 0.0)
        deviation = float(np.degrees(np.sqrt(variances.sum()))) if valid else None
        self._panel.show_stream(from_ros_quaternion(self._estimate.orientation), valid, deviation, self._source())

    def _source(self) -> str:
        """What streams, by who publishes ``imu``; looked up now and then."""
        now = time.monotonic()
        if now >= self._source_due:
            self._source_due = now + SOURCE_S
            self._publishers = {info.node_name for info in self.node.get_publishers_info_by_topic("imu")}
        return stream_source(self._publishers, self._recording)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def build(name: str, config: Config, context: HostContext) -> PageNode:
    """The page ``name``, at its port from now on."""
    return PageNode(name, config, context)
