"""The tracker of boxes of an image with a motion model that ships, for the node and without a bus alike."""

from __future__ import annotations

from knuckle.perception.centre_filter import CentreConfig
from knuckle.perception.thing_tracker import ThingTracker
from knuckle.perception.tracking.evaluation import tuned_of
from knuckle.perception.tracking.rivals import rival, weights_of
from knuckle.perception.tracking.weights_folder import SHIPPED


def film_tracker(model: str, rate_hz: float, centre: CentreConfig | None = None) -> ThingTracker:
    """The tracker with ``model`` as tuned. InputError for an unknown model, or weights that cannot be read."""
    frame_s, tuned = 1.0 / rate_hz, tuned_of(model, SHIPPED)
    made = rival(model).make(frame_s, tuned.motion, weights_of(model, SHIPPED))
    return ThingTracker(
        frame_s, in_space=False, model=made, tracker=tuned.config(frame_s), centre=centre or CentreConfig()
    )
