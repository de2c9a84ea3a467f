"""A tracker ready to be pushed to, by the name of its motion model: what a node and an evaluation call."""

from __future__ import annotations

from pathlib import Path

from knuckle.perception.tracking.candidates import Association
from knuckle.perception.tracking.learned_association import LearnedAssociation
from knuckle.perception.tracking.rivals import LINK_PREFIX, Weights, is_linked, rival, weights_of
from knuckle.perception.tracking.tracker import Tracker
from knuckle.perception.tracking.tracker_config import TrackerConfig
from knuckle.perception.tracking.tuned_settings import Tuned, tuned_of
from knuckle.perception.tracking.weights_folder import SHIPPED


def ready_tracker(name: str, frame_s: float, folder: Path = SHIPPED) -> Tracker:
    """The tracker ``name`` with its weights and tuned settings out of ``folder``, for frames ``frame_s`` apart.

    Names are those of knuckle.perception.tracking.rivals, with ``-link`` behind for learned association: ``mtp-link``.
    ``push(stamp_ns, detections)`` is then called for every frame, also for one without detections. Raises InputError
    for an unknown name, and for weights or settings that are missing or broken.
    """
    return make_tracker(name, frame_s, tuned_of(name, folder), weights_of(name, folder))


def make_tracker(name: str, frame_s: float, tuned: Tuned, weights: Weights) -> Tracker:
    """A tracker from settings and weights that were read already."""
    config = tuned.config(frame_s)
    return Tracker(
        rival(name).make(frame_s, tuned.motion, weights), frame_s, config, association(name, config, weights)
    )


def association(name: str, config: TrackerConfig, weights: Weights) -> Association | None:
    """The learned association for a name that ends in ``-link``, None for others."""
    if not is_linked(name):
        return None
    own = {key.removeprefix(LINK_PREFIX): value for key, value in weights.items() if key.startswith(LINK_PREFIX)}
    return LearnedAssociation(config, own)
