"""Fitting the ridge map: one system of normal equations for each length of history, and its errors over gaps."""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.boxes import Array
from knuckle.perception.tracking.detection_recipe import NOISE
from knuckle.perception.tracking.grid_roll import Step
from knuckle.perception.tracking.ridge_motion import HISTORY, RidgeMap, RidgeMotion, relative, ridge_features
from knuckle.perception.tracking.track_windows import jerk, noisy

GAP = 20
"""Frames unseen over which errors are measured."""
COPIES = 4
MAX_ROWS = 60_000


def fit_ridge(windows: Array, rng: np.random.Generator, *, penalty: float = 1.0, noise: float = NOISE) -> RidgeMap:
    """The map from ``windows`` (W, rows of at least 11, 6) of true boxes, with a detector's ``noise`` on the past.

    The target is the true next box; every window is seen with several draws of the noise.
    """
    weights = np.zeros((HISTORY, 4 * HISTORY + 1, 4))
    count = min(len(windows), MAX_ROWS)
    chosen = windows[rng.permutation(len(windows))[:count]]
    some, chosen = chosen[: min(count, 4000)], chosen[..., :4]
    for _ in range(COPIES):
        past = noisy(chosen[:, :HISTORY], rng, noise)
        target = relative(chosen[:, HISTORY : HISTORY + 1], past[:, -1])[:, 0]
        for length in range(1, HISTORY + 1):
            x = ridge_features(past, np.full(count, length))
            gram = x.T @ x + penalty * np.eye(x.shape[1])
            weights[length - 1] += np.linalg.solve(gram, x.T @ target) / COPIES
    step = RidgeMotion(1.0, RidgeMap(weights, np.ones((1, 4)))).step
    return RidgeMap(weights, gap_spread(step, some, rng, noise))


def gap_spread(step: Step, windows: Array, rng: np.random.Generator, noise: float = NOISE) -> Array:
    """Standard deviations (G, 4) of a stepping model's errors after 1 to G frames unseen, in shares of the size.

    G is what the windows (W, rows, 6) leave after the history. As in the tracker, who is not seen is moved by what
    surprised the others. The spread is a robust one, from the median of the absolute errors.
    """
    boxes = noisy(windows[:, :HISTORY, :4], rng, noise)
    n = len(boxes)
    seen, length = np.ones((n, HISTORY), dtype=bool), np.full(n, HISTORY)
    rows = []
    for k in range(HISTORY, windows.shape[1]):
        ahead = step(boxes, seen, length, windows[:, k - HISTORY : k, 4:])
        ahead[:, :2] += jerk(windows[:, : k + 1, 4:])
        error = (windows[:, k, :4] - ahead) / np.tile(ahead[:, 2:], 2)
        rows.append(1.4826 * np.median(np.abs(error), axis=0))
        boxes = np.concatenate([boxes[:, 1:], ahead[:, None]], axis=1)
        seen = np.concatenate([seen[:, 1:], np.zeros((n, 1), dtype=bool)], axis=1)
    return np.array(rows)
