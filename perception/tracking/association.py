"""What associations are made of: the best assignment, and OC-SORT's directions."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.motion_model import History

NO_PAIRS = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def assign(value: Array, allowed: Flags) -> tuple[Ints, Ints]:
    """Rows and columns of the assignment with the largest sum of ``value`` (N, M) over pairs that are ``allowed``.

    A pair that is not allowed counts nothing and is left out; ties fall the same way for the same input.
    """
    if not allowed.any():
        return NO_PAIRS
    rows, columns = linear_sum_assignment(np.where(allowed, value, 0.0), maximize=True)
    kept = allowed[rows, columns]
    return rows[kept].astype(np.int64), columns[kept].astype(np.int64)


def direction_agreement(history: History, frames: int, boxes: Array) -> Array:
    """OC-SORT's momentum (N, M): how well the way to each of ``boxes`` agrees with each track's own, -0.5 to 0.5.

    A track's direction is from the row ``frames`` before its newest to that one; the way to a detection is from the
    same older row. 0 for a track that has one row or does not move.
    """
    h = history.boxes.shape[1]
    back = np.minimum(history.length - 1, min(frames, h - 1))
    old = history.boxes[np.arange(len(history)), h - 1 - back, :2]
    own = history.last_seen[:, :2] - old
    way = boxes[None, :, :2] - old[:, None]
    norms = np.linalg.norm(own, axis=1)[:, None] * np.linalg.norm(way, axis=2)
    cosine = np.clip((own[:, None] * way).sum(axis=2) / np.maximum(norms, 1e-9), -1.0, 1.0)
    agreement = 0.5 - np.arccos(cosine) / np.pi
    return np.asarray(np.where((back > 0)[:, None] & (norms > 1e-9), agreement, 0.0))
