"""A linear map from the last ten boxes to the next: the rival that a learned model has to beat.

Boxes are taken relative to the newest, in shares of its size, so one map fits every place and scale: 41 x 4 numbers,
and one such map for every length of a history up to ten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core.cards import Entry
from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.grid_roll import on_grid, roll
from knuckle.perception.tracking.motion_model import History, Stateless, diagonal

HISTORY = 10
FEATURES = 4 * HISTORY + 1
SEES_AND_SAYS = (
    Entry("ridge_features", (FEATURES,), "sizes of the newest box"),
    Entry("offset", (4,), "sizes of the newest box, logarithms of ratios"),
)
"""For the card: it sees relative boxes and a one, nothing of the scene and not which rows were seen."""
MOST = 0.7
"""A size changes by a factor of at most e^0.7 a frame, a centre moves by at most three sizes."""


def relative(boxes: Array, newest: Array) -> Array:
    """``boxes`` (N, L, 4) as offsets from ``newest`` (N, 4): centre in its sizes, logarithms of the ratios of sizes."""
    size = newest[:, None, 2:]
    centre = (boxes[..., :2] - newest[:, None, :2]) / size
    return np.concatenate([centre, np.log(boxes[..., 2:] / size)], axis=-1)


def moved(newest: Array, offset: Array) -> Array:
    """The box at ``offset`` (N, 4) from ``newest`` (N, 4), the other way round."""
    centre = newest[:, :2] + np.clip(offset[:, :2], -3.0, 3.0) * newest[:, 2:]
    return np.concatenate([centre, newest[:, 2:] * np.exp(np.clip(offset[:, 2:], -MOST, MOST))], axis=1)


@dataclass(frozen=True)
class RidgeMap:
    """``weights`` (10, 41, 4), the first index being the length less one; ``spread`` (G, 4): the standard deviation
    of the error after 1 to G frames unseen, in shares of the size."""

    weights: Array
    spread: Array


class RidgeMotion(Stateless):
    """Ridge AR(10), rolled forward over frames in which a track is not seen."""

    rows = HISTORY

    def __init__(self, frame_s: float, ridge: RidgeMap) -> None:
        self.frame_s, self.ridge = frame_s, ridge

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """The next boxes; the covariance is that of the errors when it was fitted, by frames unseen."""
        boxes, seen, length = on_grid(history, self.frame_s, HISTORY)
        mean = roll(self.step, boxes, seen, length, dt_s / self.frame_s)
        return mean, spread_covariance(self.ridge.spread, mean, history.lost_s + dt_s, self.frame_s)

    def step(self, boxes: Array, seen: Flags, length: Ints, path: Array) -> Array:
        """The boxes of the next frame (N, 4); of the scene's path the rival knows nothing."""
        x = ridge_features(boxes, length)
        offset = np.einsum("nf,nfo->no", x, self.ridge.weights[length - 1])
        return moved(boxes[:, -1], offset)


def ridge_features(boxes: Array, length: Ints) -> Array:
    """(N, 41): relative boxes, zero before a track began, and a one."""
    x = relative(boxes, boxes[:, -1])
    x[np.arange(HISTORY)[None, :] < HISTORY - length[:, None]] = 0.0
    return np.concatenate([x.reshape(len(boxes), 4 * HISTORY), np.ones((len(boxes), 1))], axis=1)


def spread_covariance(spread: Array, boxes: Array, unseen_s: Array, frame_s: float) -> Array:
    """(N, 4, 4) from a table of standard deviations by frames unseen, in shares of the size."""
    k = np.clip(np.round(unseen_s / frame_s).astype(np.int64), 1, len(spread)) - 1
    return diagonal((spread[k] * np.tile(boxes[:, 2:], 2)) ** 2)
