"""What a learned association sees of a track and a detection: boxes alone, in shares of sizes and of what is expected.

Track-detection link prediction (TDLP-bbox, arXiv 2512.22105) learns from boxes whether a detection goes on a track,
with a transformer over both; here the motion model has said where the track should be and how sure it is, so a small
network of the deviations is enough. What a pair's rivals look like is among them: the frame is seen as a whole.
"""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.association import direction_agreement
from knuckle.perception.tracking.boxes import Array, Flags, iou
from knuckle.perception.tracking.candidates import Candidates
from knuckle.perception.tracking.ridge_motion import relative
from knuckle.perception.tracking.track_features import Floats

FEATURES = 24
REACH = 4.0
"""Pairs further apart than so many sizes of the track are none."""
LEAST_SPREAD = 0.05
FRAMES = 3
FAR = 1e3


def pair_features(given: Candidates) -> tuple[Floats, Flags]:
    """Features (K, 24) of the K pairs that are possible at all, and which those are (N, M), in the order of rows."""
    history, mean, boxes = given.history, given.mean, given.seen.boxes
    n, m = len(mean), len(boxes)
    offset = relative(np.repeat(boxes[None], n, axis=0), mean)
    possible = (np.abs(offset[..., :2]) < REACH).all(axis=2) & (given.labels[:, None] == given.seen.labels[None, :])
    variance = given.covariance[:, range(4), range(4)] / np.tile(mean[:, 2:], 2) ** 2
    spread = np.sqrt(np.clip(variance, 0.0, 25.0) + LEAST_SPREAD**2)
    square = (offset / spread[:, None]) ** 2
    likely = -0.5 * np.minimum(square, 50.0).sum(axis=2) - np.log(spread).sum(axis=1)[:, None]
    likely = np.where(possible, likely, -FAR)
    overlap = iou(mean, boxes)
    row, column = np.nonzero(possible)
    lost = history.lost_s / given.frame_s
    crowd, dense = _most_shared(mean), _most_shared(boxes)
    per_track = np.stack(
        [
            np.log(spread[:, 0]),
            np.log(spread[:, 1]),
            np.log1p(np.maximum(lost, 0.0)),
            0.3 * np.log1p(given.hits),
            given.confirmed.astype(np.float64),
            crowd,
        ],
        axis=1,
    )
    per_pair = np.concatenate(
        [
            np.minimum(np.abs(offset), 3.0),
            np.log1p(np.minimum(square, 400.0)),
            overlap[..., None],
            iou(history.last_seen, boxes)[..., None],
            0.1 * np.clip(likely, -60.0, 20.0)[..., None],
            0.1 * np.clip(likely - _best_other(likely, 0), -30.0, 30.0)[..., None],
            0.1 * np.clip(likely - _best_other(likely, 1), -30.0, 30.0)[..., None],
            (overlap - _best_other(overlap, 0))[..., None],
            (overlap - _best_other(overlap, 1))[..., None],
            direction_agreement(history, FRAMES, boxes)[..., None],
        ],
        axis=2,
    )
    per_detection = np.stack([given.seen.scores, dense], axis=1)
    parts = [per_pair[row, column], per_track[row], per_detection[column]]
    return np.concatenate(parts, axis=1, dtype=np.float32), possible.reshape(n, m)


def _best_other(value: Array, axis: int) -> Array:
    """For every entry the largest of the others along ``axis``; far below all where there is none."""
    if value.shape[axis] < 2:
        return np.full_like(value, -FAR)
    two = -np.partition(-value, 1, axis=axis)
    first, second = (np.take(two, [k], axis=axis) for k in (0, 1))
    return np.asarray(np.where(value == first, second, first))


def _most_shared(boxes: Array) -> Array:
    """The largest overlap of each box with another of them."""
    shared = iou(boxes, boxes)
    np.fill_diagonal(shared, 0.0)
    return np.asarray(shared.max(axis=1, initial=0.0))
