"""What a detector says of one frame: boxes, how sure it is of each, and the number of each one's class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import InputError
from knuckle.perception.tracking.boxes import Array, Ints, usable

MAX_DETECTIONS = 2000


@dataclass(frozen=True)
class Detections:
    """``boxes`` (M, 4) centre, width, height in px; ``scores`` (M,) 0 to 1; ``labels`` (M,) class numbers."""

    boxes: Array
    scores: Array
    labels: Ints


NOTHING = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))


def only_usable(seen: Detections) -> tuple[Detections, int]:
    """``seen`` without boxes that have no size or are not finite and scores that are no number; how many those were.

    Scores outside 0 to 1 are cut to it. Raises InputError where the shapes do not fit, or there are over 2000 boxes.
    """
    m = len(seen.boxes)
    if seen.boxes.shape != (m, 4) or seen.scores.shape != (m,) or seen.labels.shape != (m,) or m > MAX_DETECTIONS:
        what = f"boxes {seen.boxes.shape}, scores {seen.scores.shape}, labels {seen.labels.shape}"
        raise InputError(what, where="detections", right=f"(M, 4), (M,) and (M,), M at most {MAX_DETECTIONS}")
    good = usable(seen.boxes) & np.isfinite(seen.scores)
    if good.all() and (m == 0 or (seen.scores.min() >= 0.0 and seen.scores.max() <= 1.0)):
        return seen, 0
    kept = Detections(seen.boxes[good], np.clip(seen.scores[good], 0.0, 1.0), seen.labels[good])
    return kept, int(m - good.sum())
