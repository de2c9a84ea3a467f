"""Tracking on the bus: ``detections`` of a frame in, ``tracks`` out. Only stamps tell it the time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from knuckle_msgs.msg import Detections, Tracks
from rclpy.node import Node

from knuckle.core.config import setting
from knuckle.perception.centre_filter import CentreConfig
from knuckle.perception.thing_tracker import IN_SPACE, ThingTracker
from knuckle.perception.things import only_usable
from knuckle.perception.tracking.motion_model import MotionModel
from knuckle.perception.tracking.tracker_config import TrackerConfig
from knuckle_ros.bus_qos import NEWEST, STREAM
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.frame_judge import FrameJudge
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.thing_messages import detections_of, tracks_msg

IMAGE_TUNED = "tuned"


@dataclass(frozen=True)
class Config(CentreConfig):
    """Parameters of the track node. In an image lengths count in px, and the config's are for a thing 0.1 wide."""

    rate_hz: float = setting(12.0, "usual rate of frames", low=0.1, high=1000.0, unit="Hz")
    frame: str = setting("", "frame of reference of detections; empty for that of the first frame that comes")
    in_image: bool = setting(False, "detections are boxes of an image, in px")
    every_frame: bool = setting(False, "frames that lag are used too; else only the newest is")
    classes: str = setting("", "classes that are known, with commas between; empty for every one")
    model: str = setting("", "motion model of `knuckle eval tracker`, as tuned for boxes; empty for things in space")
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
    frame_s = 1.0 / config.rate_hz
    if not config.model:
        settings: Mapping[str, object] = {**vars(IN_SPACE), "coast_s": config.coast_s, "memory_s": config.memory_s}
        tracker, model = TrackerConfig(**settings), None  # type: ignore[arg-type]
    else:
        tracker, model = tuned_model(config.model, frame_s)
    in_space = not config.in_image
    return ThingTracker(frame_s, in_space=in_space, model=model, tracker=tracker, centre=config, reach_m=config.reach_m)


def tuned_model(name: str, frame_s: float) -> tuple[TrackerConfig, MotionModel]:
    """A motion model that ships, with its tuned settings."""
    from knuckle.perception.tracking.evaluation import tuned_of
    from knuckle.perception.tracking.rivals import rival, weights_of
    from knuckle.perception.tracking.weights_folder import SHIPPED

    tuned = tuned_of(name, SHIPPED)
    return tuned.config(frame_s), rival(name).make(frame_s, tuned.motion, weights_of(name, SHIPPED))


def build(name: str, config: Config, context: HostContext) -> TrackNode:
    """The track node ``name``."""
    return TrackNode(name, config, context)
