"""What an association decides on: the tracks of a frame as they are predicted, and what was detected in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.detections import Detections
from knuckle.perception.tracking.motion_model import History


@dataclass(frozen=True)
class Candidates:
    """N tracks and M detections. ``mean`` (N, 4) and ``covariance`` (N, 4, 4) are predicted boxes, px and px^2;
    ``labels`` (N,) classes, ``hits`` (N,) frames in a row in which a track was seen, ``confirmed`` (N,) whether it was
    ever seen for long enough. ``frame_s`` is the usual time between frames."""

    history: History
    mean: Array
    covariance: Array
    labels: Ints
    hits: Ints
    confirmed: Flags
    seen: Detections
    frame_s: float


class Association(Protocol):
    """Which detection is whose."""

    @property
    def rows(self) -> int:
        """Rows of history that it looks at."""

    def match(self, given: Candidates) -> Ints:
        """For every track the number of its detection, -1 for none (N,); no detection twice."""
