"""Tracking on the bus: ``detections`` of a frame in, ``tracks`` out. Only stamps tell it the time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from knuckle_msgs.msg import Detections, Tracks
from rclpy.node import Node

from knuckle.core.config import setting
from knuckle.perception.centre_filter import CentreConfig
from knuckle.perception.thing_tracker import IN_SPACE, ThingTracker
from knuckle.perception.things import only_usable
from knuckle_ros.bus_qos import NEWEST, STREAM
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.frame_judge import FrameJudge
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.thing_messages import detections_of, tracks_msg


@dataclass(frozen=True)
class Config(CentreConfig):
    """Parameters of the track node. In an image lengths count in px, and the config's are for a thing 0.1 wide."""

    rate_hz: float = setting(12.0, "usual rate of frames", low=0.1, high=1000.0, unit="Hz")
    frame: str = setting("", "frame of reference of detections; empty for that of the first frame that comes")
    in_image: bool = setting(False, "detections are boxes of an image, in px")
    every_frame: bool = setting(False, "frames that lag are used too; else only the newest is")
    classes: str = setting("", "classes that are known, with commas between; empty for every one")
    model: str = setting("bytetrack", "in an image: motion model, as tuned (see `knuckle eval tracker`)")
    reach_m: float = setting(0.03, "in space: things count as wider by this on each side", low=0.0, high=1.0, unit="m")
    coast_s: float = setting(0.4, "in space: what is not seen is told for so long", low=0.0, high=10.0, unit="s")
    memory_s: float = setting(1.0, "in space: what is not seen is remembered for so long", low=0.0, high=60.0, unit="s")


class TrackNode:
    """All the following is the tracker's; this looks at what comes, converts and reports."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self.tracker = make_tracker(self.config)
        self._classes = [word.strip() for word in self.config.classes.split(",") if word.strip()]
        self._judge = FrameJudge("detections", self.config.frame)
        qos = STREAM if self.config.every_frame else NEWEST
        self._tracks = self.node.create_publisher(Tracks, "tracks", qos)
        self._diagnostics = Diagnostics(self.node, context)
        self._diagnostics.level(Level.STALE, "no detections")
        self.node.create_subscription(Detections, "detections", self._on_detections, qos)
        steady_timer(self.node, 1.0, lambda: self._judge.report(self._diagnostics))

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _on_detections(self, message: Detections) -> None:
        began = time.monotonic()
        if not self._judge.right_frame(message.header.frame_id):
            return
        given, problems = only_usable(detections_of(message), self._classes, 2 if self.config.in_image else 3)
        for problem in problems:
            self._judge.dropped(problem)
        told = self.tracker.push(given)
        if told is None:
            self._judge.dropped(f"the frame of {given.stamp_ns * 1e-9:.3f} s is not newer than the one before")
            return
        self._tracks.publish(tracks_msg(told))
        self._diagnostics.produced(time.monotonic() - began)
        self._judge.went_well(f"{len(told)} track{'' if len(told) == 1 else 's'}")


def make_tracker(config: Config) -> ThingTracker:
    """The tracker of a configuration. InputError for an unknown model, or weights that cannot be read."""
    if config.in_image:
        from knuckle_ros.film_tracker import film_tracker

        return film_tracker(config.model or "bytetrack", config.rate_hz, config)
    tracker = replace(IN_SPACE, coast_s=config.coast_s, memory_s=config.memory_s)
    return ThingTracker(1.0 / config.rate_hz, tracker=tracker, centre=config, reach_m=config.reach_m)


def build(name: str, config: Config, context: HostContext) -> TrackNode:
    """The track node ``name``."""
    return TrackNode(name, config, context)
