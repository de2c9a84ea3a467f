"""The zone round the hand on the bus: when a forecast enters it the hand is told to hold, and ``zone/threat`` says why.

The hand is told through the driver's own service, whoever commands it and whether he listens or not; a commander that
hears ``zone/threat`` knows that its lease is void before the driver says so. Nothing here lets the hand go on: that is
for whoever arms it, and while there is a threat it is told to hold again. ``zone/threat`` is empty where there is none.

A watch that no longer sees is a threat too (`watch_silence`). ``zone/state`` says whether the zone is watched at all,
and which frame was judged last: the driver holds by itself where that stops (`zone_deadline`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from knuckle_msgs.msg import Detections, Forecasts, SafetyState, Tracks, ZoneState
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world
from knuckle.perception.watch_silence import LINKS, SilenceConfig, WatchSilence
from knuckle.perception.zone import Entry, Zone, ZoneConfig
from knuckle_ros.bus_qos import DEPTH, JOINT_STATES, LATCHED, NEWEST
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.frame_judge import FrameJudge
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.perception_feed import CAMERA_INFO
from knuckle_ros.perception_feed import JOINT_STATES as JOINTS_TOPIC
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.thing_messages import forecast_of
from knuckle_ros.wire import header_msg, stamp_ns

HOLD = "hand/hold_for_zone"
FRAMES_KEPT = 8
FRAME = "world"
CAMERALESS_S = 5
"""Seconds in which no camera is found on the bus, before the zone is said to be without one."""


@dataclass(frozen=True)
class Config(ZoneConfig, SilenceConfig):
    """Parameters of the zone node."""

    hand: str = setting("dclaw3", "hand that the zone is round")
    watch: bool = setting(
        True, "the zone is watched; else it is said that nobody does, and the hand never holds for it"
    )


class ZoneNode:
    """Judges each forecast with the extents of the tracks of the same stamp, and whether forecasts still come."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        spec = hand_spec(self.config.hand, where=f"{name}.hand")
        c = self.config
        self.zone = Zone(base_to_world(spec, np.array([c.centre_x, c.centre_y, c.centre_z])), c)
        self._sizes: OrderedDict[int, dict[int, tuple[Array, float]]] = OrderedDict()
        self.silence = WatchSilence(self.config)
        self._judge = FrameJudge("forecasts", FRAME)
        self._threat, self._armed = "", False
        self._entry, self._judged_ns = "", 0
        self._camera, self._seconds = False, 0
        self._said_state: tuple[int, str] | None = None
        self._held_for_ns: int | None = None
        self._holds = 0
        self._said = self.node.create_publisher(String, "zone/threat", LATCHED)
        self._said.publish(String())
        self._state = self.node.create_publisher(ZoneState, "zone/state", LATCHED)
        self._hold = self.node.create_client(Trigger, HOLD)
        self._diagnostics = Diagnostics(self.node, context)
        self._diagnostics.level(Level.STALE, "no forecasts: nobody watches the zone")
        if c.shape == "ball":
            self._diagnostics.value("zone_ball_m", " ".join(f"{v:.4f}" for v in (*self.zone.centre, c.radius)))
        self._listen()
        steady_timer(self.node, 1.0, self._on_second)

    def _listen(self) -> None:
        hear = self.node.create_subscription
        hear(SafetyState, "safety/state", self._on_safety, LATCHED)
        if not self.config.watch:
            return
        hear(CameraInfo, CAMERA_INFO, self._link(LINKS[0]), NEWEST)
        hear(Detections, "detections", self._link(LINKS[1]), NEWEST)
        hear(Tracks, "tracks", self._on_tracks, DEPTH)
        hear(Forecasts, "forecasts", self._on_forecasts, NEWEST)
        hear(JointState, JOINTS_TOPIC, self._on_joints, JOINT_STATES)

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _link(self, link: str) -> Callable[[Any], None]:
        def on_message(message: Any) -> None:
            self._camera = True
            self.silence.came(link, stamp_ns(message.header.stamp))

        return on_message

    def _on_joints(self, message: JointState) -> None:
        """Time has gone on: is what was seen last still worth anything?"""
        if self._camera:
            now_ns = stamp_ns(message.header.stamp)
            self.silence.passed(now_ns)
            self._decide(now_ns)

    def _on_tracks(self, message: Tracks) -> None:
        """Where each track is now, and how far it reaches from there."""
        now: dict[int, tuple[Array, float]] = {}
        for track in message.tracks:
            p, size = track.pose.pose.position, track.size
            numbers = np.array([p.x, p.y, p.z, size.x, size.y, size.z])
            if np.isfinite(numbers).all() and np.abs(numbers).max() < 1e5:
                now[track.id] = numbers[:3], 0.5 * float(max(numbers[3:].max(), 0.0))
        stamp = stamp_ns(message.header.stamp)
        self.silence.came(LINKS[2], stamp)
        self._sizes[stamp] = now
        while len(self._sizes) > FRAMES_KEPT:
            self._sizes.popitem(last=False)

    def _on_forecasts(self, message: Forecasts) -> None:
        began = time.monotonic()
        if not self._judge.right_frame(message.header.frame_id):
            return
        stamp, entries = stamp_ns(message.header.stamp), []
        tracks = self._sizes.get(stamp, {})
        for one in message.forecasts:
            times, weight, mean, covariance = forecast_of(one)
            if not len(times) or not all(np.isfinite(a).all() for a in (times, weight, mean, covariance)):
                self._judge.dropped(f"the forecast of track {one.track_id} is empty or not finite")
                continue
            now, reach_m = tracks.get(one.track_id, (weight @ mean[:, 0], 0.0))
            entry = self.zone.entry(one.track_id, one.label[:64], now, times, weight, mean, covariance, reach_m)
            if entry is not None:
                entries.append(entry)
        self._camera, self._judged_ns = True, stamp
        self.silence.came(LINKS[3], stamp)
        self._judge.went_well(f"{len(message.forecasts) or 'nothing'} in sight, the zone is free")
        first: Entry | None = min(entries, key=lambda e: (e.after_s, -e.probability), default=None)
        self._entry = "" if first is None else str(first)
        self._decide(stamp)
        if self._said_state == (ZoneState.WATCHING, ""):
            # The driver goes by which frame was judged last.
            self._say_state(ZoneState.WATCHING, "")
        self._diagnostics.produced(time.monotonic() - began)

    def _decide(self, stamp: int) -> None:
        """What is a threat now, and what follows; of a watch that is blind its blindness, whatever it saw last."""
        blind = self.silence.line()
        said = blind or self._entry
        if said and not self._threat:
            self.node.get_logger().warning(f"{said}: hold")
        if said != self._threat:
            self._threat = said
            self._said.publish(String(data=said))
            self._diagnostics.level(Level.WARN if said else Level.OK, said or "the zone is free")
        if blind:
            state = ZoneState.BLIND, blind
        elif self.silence.has_seen:
            state = ZoneState.WATCHING, ""
        else:
            state = ZoneState.STARTING, "nothing has been seen yet"
        if state != self._said_state:
            self._say_state(*state)
        if said and self._armed:
            self._tell_to_hold(stamp)

    def _say_state(self, state: int, reason: str) -> None:
        self._said_state = state, reason
        self._state.publish(ZoneState(header=header_msg(self._judged_ns, FRAME), state=state, reason=reason))

    def _tell_to_hold(self, stamp: int) -> None:
        if not self._hold.service_is_ready():
            self._judge.dropped(f"nobody offers {HOLD}")
            return
        self._armed, self._held_for_ns = False, stamp
        self._holds += 1
        self._diagnostics.value("holds", str(self._holds))
        self._hold.call_async(Trigger.Request())

    def _on_safety(self, message: SafetyState) -> None:
        self._armed = message.state == SafetyState.ARMED
        if not self._armed and self._held_for_ns is not None:
            # Both stamps are the world's: from the frame that was seen to the hand's standing still.
            taken_ms = (stamp_ns(message.header.stamp) - self._held_for_ns) * 1e-6
            self._held_for_ns = None
            self._diagnostics.value("frame_to_hold_ms", taken_ms)
        elif self._armed and self._threat:
            self._tell_to_hold(stamp_ns(message.header.stamp))

    def _on_second(self) -> None:
        """Is there a camera at all? And the last second, where there is no threat to speak of."""
        self._seconds += 1
        if not self._camera and self.config.watch:
            self._camera = self.node.count_publishers(CAMERA_INFO) > 0
        if not self.config.watch:
            self._is_off("switched off")
        elif not self._camera and self._seconds >= CAMERALESS_S:
            self._is_off("no depth camera is part of the graph")
        elif not self._threat:
            self._judge.report(self._diagnostics)
        if self._said_state is not None:
            self._say_state(*self._said_state)

    def _is_off(self, why: str) -> None:
        if self._said_state != (ZoneState.OFF, why):
            self._say_state(ZoneState.OFF, why)
        self._diagnostics.level(Level.WARN, f"nobody watches the zone: {why}")


def build(name: str, config: Config, context: HostContext) -> ZoneNode:
    """The zone node ``name``."""
    return ZoneNode(name, config, context)
