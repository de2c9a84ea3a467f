"""The online tracker: detections of one frame in, tracks out; nothing but stamps tells it the time.

Two stages as in ByteTrack: sure detections with all tracks, then unsure ones with tracks that were just seen. Tracks
that are not found stay in memory and are rolled forward by their motion model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from knuckle.core.config import validate
from knuckle.perception.tracking.boxes import Array, Flags, Ints, iou
from knuckle.perception.tracking.candidates import Association, Candidates
from knuckle.perception.tracking.detections import Detections, only_usable
from knuckle.perception.tracking.motion_model import MotionModel, no_history
from knuckle.perception.tracking.tracker_config import DEFAULTS, TrackerConfig
from knuckle.perception.tracking.two_stage import TwoStage

SMALLEST_PX = 1.0
ENOUGH_TO_SHARE = 3


@dataclass(frozen=True)
class Tracks:
    """The tracks of one frame. ``boxes`` (N, 4) px and their ``covariance`` (N, 4, 4), ``ids`` (N,) from 1,
    ``scores`` (N,) of the newest detection, ``labels`` (N,), and whether each was ``seen`` (N,) in this frame."""

    stamp_ns: int
    ids: Ints
    boxes: Array
    covariance: Array
    scores: Array
    labels: Ints
    seen: Flags


@dataclass
class TrackerCounts:
    """What was not used: boxes that are none, and frames not newer than the one before."""

    unusable: int = 0
    backwards: int = 0


@dataclass
class _Roster:
    """What is known of each track beside its history, one entry each."""

    ids: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    labels: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    scores: Array = field(default_factory=lambda: np.zeros(0))
    hits: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    confirmed: Flags = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def take(self, rows: Flags) -> _Roster:
        return _Roster(self.ids[rows], self.labels[rows], self.scores[rows], self.hits[rows], self.confirmed[rows])


class Tracker:
    """Tracks by ``model``. ``frame_s`` is the usual time between frames; the same input gives the same output.

    ``association`` says whose a detection is: ByteTrack's two stages where None. A node makes one with
    knuckle.perception.tracking.ready.ready_tracker and calls ``push`` for every message, nothing else.
    """

    def __init__(
        self,
        model: MotionModel,
        frame_s: float,
        config: TrackerConfig = DEFAULTS,
        association: Association | None = None,
    ) -> None:
        self.config = validate(config, where="tracker")
        self.model, self.frame_s = model, frame_s
        self.association: Association = TwoStage(self.config) if association is None else association
        self.counts = TrackerCounts()
        self._next_id = 1
        self._stamp_ns: int | None = None
        self._forget()

    def push(self, stamp_ns: int, given: Detections) -> Tracks | None:
        """The tracks at ``stamp_ns``, after the detections of that frame.

        None for a frame whose stamp is not newer than the one before: it is counted and changes nothing. After a gap
        longer than ``gap_s`` all tracks end. Boxes without size or not finite are counted and left out. Raises
        InputError where the shapes of the detections do not fit.
        """
        seen, unusable = only_usable(given)
        self.counts.unusable += unusable
        first = self._stamp_ns is None
        dt_s = self.frame_s if self._stamp_ns is None else (stamp_ns - self._stamp_ns) * 1e-9
        if dt_s <= 0.0:
            self.counts.backwards += 1
            return None
        if dt_s > self.config.gap_s:
            self._forget()
        self._stamp_ns = stamp_ns
        mean, covariance = self.model.predict(self._history, dt_s)
        mean = mean.copy()
        mean[:, 2:] = np.maximum(mean[:, 2:], SMALLEST_PX)
        found = self._match(mean, covariance, seen)
        self._go_on(mean, covariance, found, seen, dt_s)
        self._begin(found, seen, at_once=first)
        self._end()
        return self._told(stamp_ns)

    def _forget(self) -> None:
        rows = max(self.model.rows, self.association.rows)
        self._history = no_history(rows, self.frame_s, self.model.state_size)
        self._roster = _Roster()
        self._boxes, self._covariance = np.zeros((0, 4)), np.zeros((0, 4, 4))

    def _match(self, mean: Array, covariance: Array, seen: Detections) -> Ints:
        """For every track the detection that is its own, -1 for none (N,)."""
        if not len(mean) or not len(seen.scores):
            return np.full(len(mean), -1, dtype=np.int64)
        roster = self._roster
        parts = (roster.labels, roster.hits, roster.confirmed)
        return self.association.match(Candidates(self._history, mean, covariance, *parts, seen, self.frame_s))

    def _go_on(self, mean: Array, covariance: Array, found: Ints, seen: Detections, dt_s: float) -> None:
        """Give every track its new row: the detection, or the prediction moved by what surprised the others."""
        hit = found >= 0
        boxes = mean.copy()
        boxes[hit] = seen.boxes[found[hit]]
        if self.config.common_shift and hit.sum() >= ENOUGH_TO_SHARE and not hit.all():
            surprise = np.median(boxes[hit, :2] - mean[hit, :2], axis=0)
            boxes[~hit, :2] += self.config.common_shift * surprise
        state = self.model.advance(self._history, dt_s, boxes, hit)
        self._history = self._history.push(boxes, hit, dt_s, state)
        roster = self._roster
        roster.scores = roster.scores.copy()
        roster.scores[hit] = seen.scores[found[hit]]
        roster.hits = np.where(hit, roster.hits + 1, 0)
        roster.confirmed = roster.confirmed | (roster.hits >= self.config.confirm)
        self._boxes, self._covariance = self._blend(mean, covariance, boxes, hit)

    def _blend(self, mean: Array, covariance: Array, boxes: Array, hit: Flags) -> tuple[Array, Array]:
        """Told boxes: between prediction and detection by their variances, coordinate by coordinate."""
        variance = covariance[:, range(4), range(4)]
        noise = (self.config.noise * np.tile(boxes[:, 2:], 2)) ** 2
        gain = np.where(hit[:, None], variance / np.maximum(variance + noise, 1e-12), 0.0)
        out = np.where(hit[:, None], mean + gain * (boxes - mean), boxes)
        left = covariance * np.sqrt((1.0 - gain)[:, :, None] * (1.0 - gain)[:, None, :])
        return out, left

    def _begin(self, found: Ints, seen: Detections, *, at_once: bool) -> None:
        """New tracks from sure detections that no track took."""
        free = seen.scores >= self.config.start
        free[found[found >= 0]] = False
        m = int(free.sum())
        if not m:
            return
        boxes, roster = seen.boxes[free], self._roster
        ids = np.arange(self._next_id, self._next_id + m)
        self._next_id += m
        self._history = self._history.begin(boxes, self.model.begin(boxes))
        confirmed = np.full(m, at_once or self.config.confirm <= 1)
        self._roster = _Roster(
            np.concatenate([roster.ids, ids]),
            np.concatenate([roster.labels, seen.labels[free]]),
            np.concatenate([roster.scores, seen.scores[free]]),
            np.concatenate([roster.hits, np.ones(m, dtype=np.int64)]),
            np.concatenate([roster.confirmed, confirmed]),
        )
        self._boxes = np.concatenate([self._boxes, boxes])
        noise = (max(self.config.noise, 0.05) * np.tile(boxes[:, 2:], 2)) ** 2
        self._covariance = np.concatenate([self._covariance, noise[:, :, None] * np.eye(4)])

    def _end(self) -> None:
        """Drop tracks that were lost for too long, never confirmed, or doubles of older ones."""
        history, roster = self._history, self._roster
        lost = history.lost > 0
        kept = (~lost | roster.confirmed) & (history.lost_s <= self.config.memory_s + 1e-6)
        boxes = history.boxes[:, -1]
        if len(boxes) > 1 and lost.any():
            # As in ByteTrack, only a lost track and one just seen can be doubles; rows are in order of age.
            double = np.triu(iou(boxes, boxes) > self.config.duplicate_iou, k=1) & (lost[:, None] != lost[None, :])
            double &= kept[:, None] & (roster.labels[:, None] == roster.labels[None, :])
            kept &= ~double.any(axis=0)
        if not kept.all():
            self._history, self._roster = history.take(kept), roster.take(kept)
            self._boxes, self._covariance = self._boxes[kept], self._covariance[kept]

    def _told(self, stamp_ns: int) -> Tracks:
        history, roster = self._history, self._roster
        rows = roster.confirmed & ((history.lost == 0) | (history.lost_s <= self.config.coast_s))
        told = (roster.ids[rows], self._boxes[rows], self._covariance[rows], roster.scores[rows], roster.labels[rows])
        return Tracks(stamp_ns, *told, history.lost[rows] == 0)
