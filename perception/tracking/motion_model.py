"""The contract of a motion model: where every track will be, from where it was, all tracks at once.

A history has a row for every frame that the tracker was given, so its times are those of all tracks. A row in which a
track was not seen holds what was predicted for it: rolled forward so, a lost track is patched (MambaTrack's tracklet
patching) whatever the model is. A model that keeps more than the history, as a Kalman filter does, keeps it in
``state``, a row of numbers for each track, which the tracker carries along, selects and drops with the track.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags, Ints


@dataclass(frozen=True)
class History:
    """The past of N tracks, H rows each, the oldest first.

    ``boxes`` (N, H, 4) centre, width, height in px; ``ages_s`` (H,) seconds before the newest row, which is 0;
    ``seen`` (N, H) whether the row was observed; ``length`` (N,) rows that are the track's own, 1 to H: those before
    them repeat its first box. ``last_seen`` (N, 4) is the newest observed box, ``lost`` (N,) the rows since, and
    ``lost_s`` (N,) the seconds. ``state`` (N, S) belongs to the model.
    """

    boxes: Array
    ages_s: Array
    seen: Flags
    length: Ints
    last_seen: Array
    lost: Ints
    lost_s: Array
    state: Array

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Ints | Flags) -> History:
        """The history of some tracks."""
        parts = (self.seen[rows], self.length[rows], self.last_seen[rows], self.lost[rows], self.lost_s[rows])
        return History(self.boxes[rows], self.ages_s, *parts, self.state[rows])

    def begin(self, boxes: Array, state: Array) -> History:
        """These tracks and new ones, which begin with ``boxes`` (M, 4) at the newest row."""
        m, h = len(boxes), self.boxes.shape[1]
        seen = np.zeros((m, h), dtype=bool)
        seen[:, -1] = True
        nothing, none = np.zeros(m, dtype=np.int64), np.zeros(m)
        return History(
            np.concatenate([self.boxes, np.repeat(boxes[:, None], h, axis=1)]),
            self.ages_s,
            np.concatenate([self.seen, seen]),
            np.concatenate([self.length, np.ones(m, dtype=np.int64)]),
            np.concatenate([self.last_seen, boxes]),
            np.concatenate([self.lost, nothing]),
            np.concatenate([self.lost_s, none]),
            np.concatenate([self.state, state]),
        )

    def push(self, boxes: Array, seen: Flags, dt_s: float, state: Array) -> History:
        """One row more, ``dt_s`` later: ``boxes`` (N, 4) observed where ``seen`` (N,), else predicted."""
        h = self.boxes.shape[1]
        ages = np.append(self.ages_s[1:] + dt_s, 0.0)
        return replace(
            self,
            boxes=np.concatenate([self.boxes[:, 1:], boxes[:, None]], axis=1),
            ages_s=ages,
            seen=np.concatenate([self.seen[:, 1:], seen[:, None]], axis=1),
            length=np.minimum(self.length + 1, h),
            last_seen=np.where(seen[:, None], boxes, self.last_seen),
            lost=np.where(seen, 0, self.lost + 1),
            lost_s=np.where(seen, 0.0, self.lost_s + dt_s),
            state=state,
        )


def no_history(rows: int, frame_s: float, state_size: int) -> History:
    """A history of no track, with ``rows`` rows ``frame_s`` apart."""
    ages = frame_s * np.arange(rows - 1, -1, -1.0)
    counts = np.zeros(0, dtype=np.int64)
    seen, state = np.zeros((0, rows), dtype=bool), np.zeros((0, state_size))
    return History(np.zeros((0, rows, 4)), ages, seen, counts, np.zeros((0, 4)), counts, np.zeros(0), state)


class MotionModel(Protocol):
    """What the tracker asks of a motion model. ``rows`` of history and ``state_size`` numbers are kept for it."""

    @property
    def rows(self) -> int:
        """Rows of history that it looks at."""

    @property
    def state_size(self) -> int:
        """Numbers that it keeps for each track."""

    def begin(self, boxes: Array) -> Array:
        """The state (M, S) of tracks that begin with ``boxes`` (M, 4)."""

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """Mean (N, 4) and covariance (N, 4, 4) of the boxes ``dt_s`` after the newest row, px and px^2."""

    def advance(self, history: History, dt_s: float, boxes: Array, seen: Flags) -> Array:
        """The state (N, S) ``dt_s`` later, when ``boxes`` (N, 4) were observed where ``seen`` (N,).

        Where a track was not seen, ``boxes`` has what was predicted for it.
        """


class Stateless:
    """A motion model for which the history is enough."""

    @property
    def state_size(self) -> int:
        """It keeps nothing."""
        return 0

    def begin(self, boxes: Array) -> Array:
        """Nothing, for each of ``boxes``."""
        return np.zeros((len(boxes), 0))

    def advance(self, history: History, dt_s: float, boxes: Array, seen: Flags) -> Array:
        """Nothing, for each track."""
        return np.zeros((len(history), 0))


def diagonal(variance: Array) -> Array:
    """Covariances (N, 4, 4) from variances (N, 4)."""
    out = np.zeros((*variance.shape, 4))
    out[:, range(4), range(4)] = variance
    return out
