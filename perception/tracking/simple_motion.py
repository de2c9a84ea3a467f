"""Motion without a filter: the last box stays, or goes on as fast as it went."""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.boxes import Array
from knuckle.perception.tracking.motion_model import History, Stateless, diagonal

SMALLEST_PX = 1.0


class LastBox(Stateless):
    """A box stays where it was; ``spread`` is how far it strays in a frame, as a share of its size."""

    rows = 2

    def __init__(self, frame_s: float, *, spread: float = 0.1) -> None:
        self.frame_s, self.spread = frame_s, spread

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """The newest box again; its variance grows with the time it was not seen."""
        mean = history.boxes[:, -1]
        return mean, _grown(mean, self.spread, (history.lost_s + dt_s) / self.frame_s)


class ConstantVelocity(Stateless):
    """A centre goes on with its mean velocity over up to ``span`` rows before the last; sizes stay."""

    def __init__(self, frame_s: float, *, spread: float = 0.1, span: int = 1) -> None:
        self.frame_s, self.spread, self.span = frame_s, spread, span
        self.rows = span + 1

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """The newest box moved on by its velocity."""
        mean = history.boxes[:, -1].copy()
        back = np.minimum(history.length - 1, self.span)
        row = history.boxes.shape[1] - 1 - back
        elapsed = np.maximum(history.ages_s[row], 1e-9)
        old = history.boxes[np.arange(len(history)), row, :2]
        mean[:, :2] += (mean[:, :2] - old) * (dt_s / elapsed)[:, None] * (back > 0)[:, None]
        return mean, _grown(mean, self.spread, (history.lost_s + dt_s) / self.frame_s)


def _grown(boxes: Array, spread: float, frames: Array) -> Array:
    """Covariance of a walk of ``spread`` of the size a frame."""
    size = np.tile(np.maximum(boxes[:, 2:], SMALLEST_PX), 2)
    return diagonal((spread * size) ** 2 * np.maximum(frames, 0.0)[:, None])
