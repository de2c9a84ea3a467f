"""The zone round the hand on the bus: when a forecast enters it the hand is told to hold, and ``zone/threat`` says why.

The hand is told through the driver's own service, whoever commands it and whether he listens or not; a commander that
hears ``zone/threat`` knows that its lease is void before the driver says so. Nothing here lets the hand go on: that is
for whoever arms it, and while there is a threat it is told to hold again. ``zone/threat`` is empty where there is none.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from knuckle_msgs.msg import Forecasts, SafetyState, Tracks
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world
from knuckle.perception.zone import Entry, Zone, ZoneConfig
from knuckle_ros.bus_qos import DEPTH, LATCHED, NEWEST
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.frame_judge import FrameJudge
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.thing_messages import forecast_of
from knuckle_ros.wire import stamp_ns

HOLD = "hand/hold_for_zone"
FRAMES_KEPT = 8


@dataclass(frozen=True)
class Config(ZoneConfig):
    """Parameters of the zone node."""

    hand: str = setting("dclaw3", "hand that the zone is round")


class ZoneNode:
    """Judges each forecast with the extents of the tracks of the same stamp."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        spec = hand_spec(self.config.hand, where=f"{name}.hand")
        c = self.config
        self.zone = Zone(base_to_world(spec, np.array([c.centre_x, c.centre_y, c.centre_z])), c)
        self._sizes: OrderedDict[int, dict[int, tuple[Array, float]]] = OrderedDict()
        self._judge = FrameJudge("forecasts", "world")
        self._threat, self._armed = "", False
        self._held_for_ns: int | None = None
        self._holds = 0
        self._said = self.node.create_publisher(String, "zone/threat", LATCHED)
        self._said.publish(String())
        self._hold = self.node.create_client(Trigger, HOLD)
        self._diagnostics = Diagnostics(self.node, context)
        self._diagnostics.level(Level.STALE, "no forecasts: nobody watches the zone")
        if c.shape == "ball":
            self._diagnostics.value("zone_ball_m", " ".join(f"{v:.4f}" for v in (*self.zone.centre, c.radius)))
        self.node.create_subscription(Tracks, "tracks", self._on_tracks, DEPTH)
        self.node.create_subscription(Forecasts, "forecasts", self._on_forecasts, NEWEST)
        self.node.create_subscription(SafetyState, "safety/state", self._on_safety, LATCHED)
        steady_timer(self.node, 1.0, self._on_second)

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _on_tracks(self, message: Tracks) -> None:
        """Where each track is now, and how far it reaches from there."""
        now: dict[int, tuple[Array, float]] = {}
        for track in message.tracks:
            p, size = track.pose.pose.position, track.size
            numbers = np.array([p.x, p.y, p.z, size.x, size.y, size.z])
            if np.isfinite(numbers).all() and np.abs(numbers).max() < 1e5:
                now[track.id] = numbers[:3], 0.5 * float(max(numbers[3:].max(), 0.0))
        self._sizes[stamp_ns(message.header.stamp)] = now
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
        self._judge.went_well(f"{len(message.forecasts) or 'nothing'} in sight, the zone is free")
        self._decide(stamp, min(entries, key=lambda e: (e.after_s, -e.probability), default=None))
        self._diagnostics.produced(time.monotonic() - began)

    def _decide(self, stamp: int, entry: Entry | None) -> None:
        said = "" if entry is None else str(entry)
        if said and not self._threat:
            self.node.get_logger().warning(f"{said}: hold")
        if said != self._threat:
            self._threat = said
            self._said.publish(String(data=said))
            self._diagnostics.level(Level.WARN if said else Level.OK, said or "the zone is free")
        if said and self._armed:
            self._tell_to_hold(stamp)

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
        if not self._threat:
            self._judge.report(self._diagnostics)


def build(name: str, config: Config, context: HostContext) -> ZoneNode:
    """The zone node ``name``."""
    return ZoneNode(name, config, context)
