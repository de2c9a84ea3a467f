"""How a whole scene has moved in the image: the camera's turn, as the tracks together show it."""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags, Ints

ENOUGH = 3
"""From fewer tracks nothing is said of the scene."""


def scene_path(boxes: Array, seen: Flags, length: Ints) -> Array:
    """Where the scene was at each of L rows (L, 2), px, the newest being 0: sums of the median steps of tracks.

    ``boxes`` (N, L, 4) with ``seen`` (N, L) and ``length`` (N,) as a history has them; a step counts where a track is
    seen at both of its ends. Where fewer than three are, the scene goes on as it went.
    """
    n, rows = seen.shape
    if n < ENOUGH or rows < 2:
        return np.zeros((rows, 2))
    own = np.arange(rows)[None, :] >= rows - length[:, None]
    both = seen[:, 1:] & seen[:, :-1] & own[:, :-1]
    counts = both.sum(axis=0)
    steps = np.where(both[..., None], boxes[:, 1:, :2] - boxes[:, :-1, :2], np.inf)
    steps.sort(axis=0)
    at, columns = np.maximum(counts - 1, 0), np.arange(rows - 1)
    middle = 0.5 * (steps[at // 2, columns] + steps[(at + 1) // 2, columns])
    return path_of(middle, counts >= ENOUGH)


def path_of(steps: Array, known: Flags) -> Array:
    """The path (L, 2) that ends at 0 from ``steps`` (L - 1, 2) between rows; one that is not known repeats the last."""
    if not known.any():
        return np.zeros((len(steps) + 1, 2))
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    filled = np.where((last >= 0)[:, None], steps[np.maximum(last, 0)], 0.0)
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(filled, axis=0)])
    return np.asarray(path - path[-1])
