"""What a learned motion model sees of a track: written once, for training and for the bus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.ridge_motion import relative

Floats = NDArray[np.float32]
CHANNELS = 14
GAIN = 4.0
FAR = 20.0
"""Offsets are small shares of a size; so scaled they are of the order of one."""


def track_features(boxes: Array, seen: Flags, length: Ints, path: Array) -> Floats:
    """(N, L, 14) of boxes (N, L, 4): relative to the newest, their steps, seen or predicted, whether the row is the
    track's own, and the scene's ``path`` (L, 2) or (N, L, 2) in the same measure, with its steps.

    Rows before a track began are zero.
    """
    rows = boxes.shape[1]
    own = np.arange(rows)[None, :] >= rows - length[:, None]
    offset = GAIN * relative(boxes, boxes[:, -1])
    step = np.zeros_like(offset)
    step[:, 1:] = (offset[:, 1:] - offset[:, :-1]) * own[:, :-1, None]
    scene = GAIN * (path - path[..., -1:, :]) / boxes[:, -1:, 2:]
    turn = np.zeros_like(scene)
    turn[:, 1:] = scene[:, 1:] - scene[:, :-1]
    parts = [
        offset,
        step,
        seen[..., None],
        np.ones((*seen.shape, 1)),
        np.clip(scene, -FAR, FAR),
        np.clip(turn, -FAR, FAR),
    ]
    out = np.concatenate(parts, axis=-1)
    return np.asarray(out * own[..., None], dtype=np.float32)
