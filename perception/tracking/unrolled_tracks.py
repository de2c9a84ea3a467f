"""Tracks as the tracker meets them, to learn from: noise, misses, and gaps that the learner itself has filled.

A model that is trained on whole histories alone never sees its own predictions in them; here it goes along a track step
by step, and what was missed holds what it predicted, moved as the tracker moves what is lost: by what surprised others.
"""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.detection_recipe import DROPPED, NOISE
from knuckle.perception.tracking.grid_roll import Step
from knuckle.perception.tracking.ridge_motion import moved, relative
from knuckle.perception.tracking.track_features import Floats, track_features
from knuckle.perception.tracking.track_windows import jerk, noisy

GAPS = (3, 5, 10, 15)
GAP_RATE = 0.03
"""Chance that a gap begins in a frame: more than in the recipe, as the few frames of gaps are what is hard."""
YOUNG = 0.3
"""Share of tracks that begin with fewer rows than the history has."""
MOST = 3.0


class UnrolledTracks:
    """``batch`` tracks at once out of ``windows`` (W, rows, 6); one that is at its end is replaced by another.

    ``noise`` is the detector's, as a share of a box's size.
    """

    def __init__(
        self, windows: Array, history: int, batch: int, rng: np.random.Generator, noise: float = NOISE
    ) -> None:
        self.windows, self.history, self.rng, self.noise = windows, history, rng, noise
        rows = windows.shape[1]
        self.truth, self.observed = np.zeros((batch, rows, 4)), np.zeros((batch, rows, 4))
        self.scene, self.path = np.zeros((batch, rows, 2)), np.zeros((batch, history, 2))
        self.hit = np.zeros((batch, rows), dtype=bool)
        self.boxes, self.seen = np.zeros((batch, history, 4)), np.zeros((batch, history), dtype=bool)
        self.length, self.at = np.zeros(batch, dtype=np.int64), np.zeros(batch, dtype=np.int64)
        self._draw(np.arange(batch))
        # As if they had begun at different times, so that every step has tracks of every age.
        self.left = rng.integers(1, rows - history + 1, batch)

    def features(self) -> tuple[Floats, Array]:
        """Features (B, q, 14) and the true offsets of the next boxes (B, 4)."""
        ahead = self.truth[np.arange(len(self.at)), self.at]
        target = relative(ahead[:, None], self.boxes[:, -1])[:, 0]
        return track_features(self.boxes, self.seen, self.length, self.path), np.clip(target, -MOST, MOST)

    def step(self, offsets: Array) -> None:
        """Go on by a frame: what was observed, or what ``offsets`` (B, 4) predict where nothing was."""
        every = np.arange(len(self.at))
        hit = self.hit[every, self.at]
        self.path = np.concatenate([self.path[:, 1:], self.scene[every, self.at][:, None]], axis=1)
        ahead = moved(self.boxes[:, -1], offsets)
        ahead[:, :2] += jerk(self.path)
        newest = np.where(hit[:, None], self.observed[every, self.at], ahead)
        self.boxes = np.concatenate([self.boxes[:, 1:], newest[:, None]], axis=1)
        self.seen = np.concatenate([self.seen[:, 1:], hit[:, None]], axis=1)
        self.length = np.minimum(self.length + 1, self.history)
        self.at, self.left = self.at + 1, self.left - 1
        done = np.flatnonzero(self.left <= 0)
        if len(done):
            self._draw(done)

    def _draw(self, rows: Ints) -> None:
        rng, h = self.rng, self.history
        drawn = self.windows[rng.integers(0, len(self.windows), len(rows))].copy()
        mirrored = rng.random(len(rows)) < 0.5
        drawn[mirrored, :, 0] *= -1.0
        drawn[mirrored, :, 4] *= -1.0
        truth, self.scene[rows] = drawn[..., :4], drawn[..., 4:]
        self.truth[rows], self.observed[rows] = truth, noisy(truth, rng, self.noise)
        self.hit[rows] = _hits(len(rows), truth.shape[1], rng)
        young = rng.random(len(rows)) < YOUNG
        self.length[rows] = np.where(young, rng.integers(1, h + 1, len(rows)), h)
        self.boxes[rows], self.path[rows] = self.observed[rows, :h], self.scene[rows, :h]
        self.seen[rows] = np.arange(h)[None, :] >= h - self.length[rows][:, None]
        self.at[rows] = h
        if hasattr(self, "left"):
            self.left[rows] = truth.shape[1] - h


def sampled(tracks: UnrolledTracks, step: Step, count: int) -> tuple[Floats, Array]:
    """Features (N, q, 14) and true offsets (N, 4) of ``count`` steps of all tracks, gaps filled by ``step``."""
    features, targets = [], []
    for _ in range(count):
        x, y = tracks.features()
        features.append(x)
        targets.append(y)
        newest = tracks.boxes[:, -1]
        tracks.step(relative(step(tracks.boxes, tracks.seen, tracks.length, tracks.path)[:, None], newest)[:, 0])
    return np.concatenate(features), np.concatenate(targets)


def _hits(n: int, rows: int, rng: np.random.Generator) -> Flags:
    """Which rows are observed (n, rows): some are dropped one by one, some in gaps."""
    hit = rng.random((n, rows)) >= DROPPED
    track, first = np.nonzero(rng.random((n, rows)) < GAP_RATE)
    for k, begin, long in zip(track, first, rng.choice(GAPS, len(track)), strict=True):
        hit[k, begin : begin + long] = False
    return hit
