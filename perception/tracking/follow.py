"""A tracker run over a whole film, and a film from its detections alone."""

from __future__ import annotations

from knuckle.perception.tracking.candidates import Association
from knuckle.perception.tracking.detections import Detections
from knuckle.perception.tracking.motion_model import MotionModel
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.tracker import Tracker, Tracks
from knuckle.perception.tracking.tracker_config import TrackerConfig


def follow(
    truth: Sequence,
    frames: list[Detections],
    model: MotionModel,
    config: TrackerConfig,
    association: Association | None = None,
) -> list[Tracks]:
    """The tracks of every frame of a film, whose times and rate are those of ``truth``."""
    tracker = Tracker(model, 1.0 / truth.rate_hz, config, association)
    tracks = (tracker.push(truth.stamp_ns(k), seen) for k, seen in enumerate(frames))
    return [told for told in tracks if told is not None]
