"""The tracker of boxes of an image with a motion model that ships, for the node and without a bus alike."""

from __future__ import annotations

from knuckle.perception.centre_filter import CentreConfig
from knuckle.perception.thing_tracker import ThingTracker
from knuckle.perception.tracking.ready import ready_tracker


def film_tracker(model: str, rate_hz: float, centre: CentreConfig | None = None) -> ThingTracker:
    """The tracker with ``model`` as tuned. InputError for an unknown model, or weights that cannot be read."""
    ready = ready_tracker(model, 1.0 / rate_hz)
    return ThingTracker(
        ready.frame_s,
        in_space=False,
        model=ready.model,
        tracker=ready.config,
        centre=centre or CentreConfig(),
        association=ready.association,
    )
