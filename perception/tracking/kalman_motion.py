"""The Kalman filters of SORT (arXiv 1602.00763), ByteTrack (2110.06864) and OC-SORT (2203.14360) as motion models.

Noise is that of the papers' code, times ``process`` and ``measurement``, which tuning finds; a change of rate stretches
the papers' frame, ``frame_s``.
"""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking import kalman_pairs as pairs
from knuckle.perception.tracking.boxes import Array, Flags
from knuckle.perception.tracking.motion_model import History, diagonal

SMALL = 1e-3


class ByteTrackKalman:
    """Centre, aspect and height with velocities; noise in proportion to the height."""

    rows = 1
    state_size = 20
    POSITION, VELOCITY = 1.0 / 20.0, 1.0 / 160.0

    def __init__(self, frame_s: float, *, process: float = 1.0, measurement: float = 1.0) -> None:
        self.frame_s, self.process, self.measurement = frame_s, process, measurement

    def begin(self, boxes: Array) -> Array:
        """States at rest at ``boxes``."""
        z = _aspect(boxes)
        p, v = self._spread(z[:, 3], 2.0 * self.POSITION, 1e-2), self._spread(z[:, 3], 10.0 * self.VELOCITY, 1e-5)
        return pairs.started(z, p, v).reshape(len(boxes), 20)

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """The filter's mean and covariance."""
        state = self._ahead(history, dt_s)
        z = state[..., pairs.P]
        h, a = np.maximum(z[:, 3], SMALL), np.maximum(z[:, 2], SMALL)
        variance = state[..., pairs.PP].copy()
        variance[:, 2] = h * h * variance[:, 2] + a * a * variance[:, 3]
        return np.stack([z[:, 0], z[:, 1], a * h, h], axis=1), diagonal(variance)

    def advance(self, history: History, dt_s: float, boxes: Array, seen: Flags) -> Array:
        """Predicted, and corrected where seen."""
        state = self._ahead(history, dt_s)
        r = self.measurement * self._spread(state[:, 3, pairs.P], self.POSITION, 1e-1)
        after = pairs.corrected(state, _aspect(boxes), r)
        return np.where(seen[:, None, None], after, state).reshape(len(boxes), 20)

    def _ahead(self, history: History, dt_s: float) -> Array:
        state = history.state.reshape(-1, 4, 5)
        # A lost track's height stays, as in ByteTrack's code.
        state = state.copy()
        state[history.lost > 0, 3, pairs.V] = 0.0
        h = state[:, 3, pairs.P]
        q, qv = self._spread(h, self.POSITION, 1e-2), self._spread(h, self.VELOCITY, 1e-5)
        return pairs.predicted(state, dt_s / self.frame_s, self.process * q, self.process * qv)

    @staticmethod
    def _spread(height: Array, share: float, aspect: float) -> Array:
        """Variances (N, 4): of the height's share, but for the aspect."""
        std = np.repeat((share * np.maximum(height, SMALL))[:, None], 4, axis=1)
        std[:, 2] = aspect
        return std**2


class SortKalman:
    """Centre, area and aspect; the aspect has no velocity; noise in px."""

    rows = 1
    state_size = 20
    Q = np.array([1.0, 1.0, 1.0, 1.0])
    Q_VELOCITY = np.array([0.01, 0.01, 1e-4, 0.0])
    R = np.array([1.0, 1.0, 10.0, 10.0])
    START, START_VELOCITY = np.full(4, 10.0), np.array([1e4, 1e4, 1e4, 0.0])

    def __init__(self, frame_s: float, *, process: float = 1.0, measurement: float = 1.0) -> None:
        self.frame_s, self.process, self.measurement = frame_s, process, measurement

    def begin(self, boxes: Array) -> Array:
        """States at rest at ``boxes``."""
        shape = (len(boxes), 4)
        p, v = np.broadcast_to(self.START, shape), np.broadcast_to(self.START_VELOCITY, shape)
        return pairs.started(_area(boxes), p, v).reshape(len(boxes), 20)

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """The filter's mean and covariance."""
        state = self._ahead(history.state.reshape(-1, 4, 5), dt_s / self.frame_s)
        z = state[..., pairs.P]
        s, r = np.maximum(z[:, 2], SMALL), np.maximum(z[:, 3], SMALL)
        w, h = np.sqrt(s * r), np.sqrt(s / r)
        variance = state[..., pairs.PP].copy()
        relative = 0.25 * (variance[:, 2] / s**2 + variance[:, 3] / r**2)
        variance[:, 2], variance[:, 3] = w * w * relative, h * h * relative
        return np.stack([z[:, 0], z[:, 1], w, h], axis=1), diagonal(variance)

    def advance(self, history: History, dt_s: float, boxes: Array, seen: Flags) -> Array:
        """Predicted, and corrected where seen."""
        state = self._ahead(history.state.reshape(-1, 4, 5), dt_s / self.frame_s)
        after = pairs.corrected(state, _area(boxes), np.broadcast_to(self.measurement * self.R, (len(boxes), 4)))
        return np.where(seen[:, None, None], after, state).reshape(len(boxes), 20)

    def _ahead(self, state: Array, frames: float) -> Array:
        state = state.copy()
        shrunk = state[:, 2, pairs.P] + frames * state[:, 2, pairs.V] <= 0.0
        state[shrunk, 2, pairs.V] = 0.0
        return pairs.predicted(state, frames, self.process * self.Q, self.process * self.Q_VELOCITY)


class ObservationCentred(SortKalman):
    """OC-SORT's: when a lost track is found, SORT's filter goes over the gap again.

    It starts from its state when the track was last seen, along a straight line between the two observations
    (re-update). The other half, the consistency of directions (momentum), is a setting of the tracker.
    """

    state_size = 40

    def begin(self, boxes: Array) -> Array:
        """States at rest, and the same again as those when last seen."""
        return np.tile(super().begin(boxes), 2)

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """SORT's prediction."""
        return super().predict(_first_half(history), dt_s)

    def advance(self, history: History, dt_s: float, boxes: Array, seen: Flags) -> Array:
        """SORT's, but over the gap again where a track was lost and is seen."""
        state = super().advance(_first_half(history), dt_s, boxes, seen)
        kept = np.where(seen[:, None], state, history.state[:, 20:])
        found = np.flatnonzero(seen & (history.lost > 0))
        if len(found):
            kept[found] = state[found] = self._again(history.take(found), dt_s, boxes[found])
        return np.concatenate([state, kept], axis=1)

    def _again(self, history: History, dt_s: float, boxes: Array) -> Array:
        """The state at ``boxes`` when every row of the gap had been seen on the line to them."""
        state = history.state[:, 20:].reshape(-1, 4, 5).copy()
        rows = history.lost + 1
        frames = ((history.lost_s + dt_s) / self.frame_s / rows)[:, None]
        r = np.broadcast_to(self.measurement * self.R, (len(boxes), 4))
        for k in range(1, int(rows.max()) + 1):
            on = rows >= k
            share = (k / rows[on])[:, None]
            virtual = (1.0 - share) * history.last_seen[on] + share * boxes[on]
            ahead = pairs.predicted(state[on], frames[on], self.process * self.Q, self.process * self.Q_VELOCITY)
            state[on] = pairs.corrected(ahead, _area(virtual), r[on])
        return state.reshape(-1, 20)


def _first_half(history: History) -> History:
    return History(**{**vars(history), "state": history.state[:, :20]})


def _aspect(boxes: Array) -> Array:
    """Centre, width over height, height."""
    return np.stack([boxes[:, 0], boxes[:, 1], boxes[:, 2] / boxes[:, 3], boxes[:, 3]], axis=1)


def _area(boxes: Array) -> Array:
    """Centre, area, width over height."""
    return np.stack([boxes[:, 0], boxes[:, 1], boxes[:, 2] * boxes[:, 3], boxes[:, 2] / boxes[:, 3]], axis=1)
