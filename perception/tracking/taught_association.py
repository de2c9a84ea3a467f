"""An association that writes down what it was asked and what would have been right: what a learned one learns from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.candidates import Association, Candidates
from knuckle.perception.tracking.pair_features import FRAMES, pair_features
from knuckle.perception.tracking.track_features import Floats

NOBODY = -1


@dataclass
class TaughtAssociation:
    """``truth[k]`` (M,) says who the detections of frame k are, ``NOBODY`` for false ones.

    It does what ``inner`` says, or the right thing where there is no ``inner``. A track is who its newest detection
    was; of several who are the same, the one that was seen last is right. A frame of no track or no detection is not
    asked for, so frames are known by their boxes.
    """

    truth: list[Ints]
    boxes: list[Array]
    inner: Association | None = None
    features: list[Floats] = field(default_factory=list)
    right: list[Flags] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.who: dict[bytes, int] = {}
        for boxes, ids in zip(self.boxes, self.truth, strict=True):
            self.who |= {box.tobytes(): int(name) for box, name in zip(boxes, ids, strict=True)}

    @property
    def rows(self) -> int:
        """Rows of history that it looks at."""
        return max(FRAMES + 1, 1 if self.inner is None else self.inner.rows)

    def match(self, given: Candidates) -> Ints:
        """What ``inner`` or the truth says, noted beside what is right."""
        own = self._named(given.history.last_seen)
        seen = self._named(given.seen.boxes)
        order = np.argsort(given.history.lost, kind="stable")
        newest = np.zeros(len(own), dtype=bool)
        newest[order[np.unique(own[order], return_index=True)[1]]] = True
        same = (own[:, None] == seen[None, :]) & (own != NOBODY)[:, None] & newest[:, None]
        features, possible = pair_features(given)
        self.features.append(features)
        self.right.append(same[possible])
        if self.inner is not None:
            return self.inner.match(given)
        return np.where(same.any(axis=1), same.argmax(axis=1), -1)

    def _named(self, boxes: Array) -> Ints:
        return np.array([self.who.get(box.tobytes(), NOBODY) for box in boxes], dtype=np.int64)
