"""Models that step from frame to frame, used at any time: the history laid on their grid and rolled over it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.motion_model import History
from knuckle.perception.tracking.scene_path import scene_path

Step = Callable[[Array, Flags, Ints, Array], Array]
"""Boxes (N, L, 4) a frame apart, seen (N, L), length (N,) and the scene's path (L, 2) or (N, L, 2) to the boxes of the
next frame (N, 4)."""
CLOSE = 0.02
"""Times within this share of a frame are on the grid."""
MOST_STEPS = 60


def on_grid(history: History, frame_s: float, rows: int) -> tuple[Array, Flags, Ints]:
    """The last ``rows`` frames of a history, ``frame_s`` apart: boxes (N, rows, 4), seen (N, rows), length (N,).

    Rows between two times are interpolated and count as seen where both are. Where the history is shorter, its oldest
    row is repeated.
    """
    wanted = frame_s * np.arange(rows - 1, -1, -1.0)
    ages = history.ages_s
    if len(ages) >= rows and np.all(np.abs(ages[-rows:] - wanted) <= CLOSE * frame_s):
        return history.boxes[:, -rows:], history.seen[:, -rows:], np.minimum(history.length, rows)
    right = np.clip(np.searchsorted(-ages, -wanted, side="left"), 1, len(ages) - 1) if len(ages) > 1 else None
    if right is None:
        boxes = np.repeat(history.boxes, rows, axis=1)
        return boxes, np.repeat(history.seen, rows, axis=1), np.ones(len(history), dtype=np.int64)
    left = right - 1
    share = np.clip((ages[left] - wanted) / np.maximum(ages[left] - ages[right], 1e-9), 0.0, 1.0)
    boxes = (1.0 - share)[:, None] * history.boxes[:, left] + share[:, None] * history.boxes[:, right]
    seen = (history.seen[:, left] | (share > 1.0 - CLOSE)) & (history.seen[:, right] | (share < CLOSE))
    first_age = ages[len(ages) - history.length]
    length = np.clip(np.floor(first_age / frame_s + CLOSE).astype(np.int64) + 1, 1, rows)
    return boxes, seen, length


def roll(step: Step, boxes: Array, seen: Flags, length: Ints, frames: float) -> Array:
    """The boxes (N, 4) ``frames`` after the last row: ``step`` again and again on its own output.

    The scene goes on as it went from the row before the last to the last.
    """
    rows, path = boxes.shape[1], scene_path(boxes, seen, length)
    left = min(frames, float(MOST_STEPS))
    while True:
        ahead = step(boxes, seen, length, path)
        if left <= 1.0 + CLOSE:
            share = 1.0 if left >= 1.0 - CLOSE else left
            return np.asarray(ahead if share == 1.0 else boxes[:, -1] + share * (ahead - boxes[:, -1]))
        left -= 1.0
        boxes = np.concatenate([boxes[:, 1:], ahead[:, None]], axis=1)
        path = np.concatenate([path[1:], path[-1:] + path[-1:] - path[-2:-1]]) if rows > 1 else path
        seen = np.concatenate([seen[:, 1:], np.zeros((len(seen), 1), dtype=bool)], axis=1)
        length = np.minimum(length + 1, rows)
