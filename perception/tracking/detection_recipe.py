"""The detector that evaluations stand on: true boxes with noise, misses, bursts of misses and false boxes, by a seed.

The recipe is fixed, so that figures of other days compare: its settings are not options, and every table carries the
hash of what it made.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.detections import Detections
from knuckle.perception.tracking.sequence import Sequence, digest_of

NOISE = 0.05
"""Standard deviation of centre and size, as a share of the box's width and height."""
DROPPED = 0.10
BURST_LENGTHS = (5, 10, 20)
BURST_RATE = 0.005
"""Chance that a burst of misses starts, for each frame and track."""
FALSE_PER_FRAME = 0.5
TRUE_SCORE, FALSE_SCORE, SCORE_SPREAD = 0.75, 0.35, 0.15
BURST_SCORE_LOSS, BURST_MARGIN = 0.3, 5
"""Scores are lower by this much within so many frames of a burst."""
SMALLEST = 0.2
"""A noisy side is never below this share of the true one."""


@dataclass(frozen=True)
class Detected:
    """The detections of every frame, which rows of the truth are among them (K,), and for every detection of each frame
    the row of the truth that it is, -1 for a false one; empty where nobody knows."""

    frames: list[Detections]
    kept: Flags
    rows: list[Ints] = field(default_factory=list)


def detect(truth: Sequence, seed: int) -> Detected:
    """The detections of a film; the same for the same sequence and seed."""
    rng = np.random.default_rng([seed, zlib.crc32(truth.name.encode())])
    missed, near = bursts(truth, rng)
    kept = ~missed & (rng.random(len(truth.frame)) >= DROPPED)
    scale = np.tile(truth.boxes[:, 2:], 2)
    boxes = truth.boxes + NOISE * scale * rng.standard_normal(truth.boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], SMALLEST * truth.boxes[:, 2:])
    mean = TRUE_SCORE - BURST_SCORE_LOSS * near
    scores = np.clip(rng.normal(mean, SCORE_SPREAD), 0.0, 1.0)
    frames, sources = [], []
    for k in range(truth.frames):
        rows = np.arange(truth.starts[k], truth.starts[k + 1])
        rows = rows[kept[rows]]
        extra = int(rng.poisson(FALSE_PER_FRAME))
        false = _false_boxes(truth, extra, rng)
        false_scores = np.clip(rng.normal(FALSE_SCORE, SCORE_SPREAD, extra), 0.0, 1.0)
        labels = truth.label[rng.integers(0, len(truth.label), extra)] if len(truth.label) else truth.label
        order = rng.permutation(len(rows) + len(false))
        sources.append(np.concatenate([rows, np.full(len(false), -1)])[order])
        frames.append(
            Detections(
                np.concatenate([boxes[rows], false])[order],
                np.concatenate([scores[rows], false_scores[: len(false)]])[order],
                np.concatenate([truth.label[rows], labels[: len(false)]])[order],
            )
        )
    return Detected(frames, kept, sources)


def bursts(truth: Sequence, rng: np.random.Generator) -> tuple[Flags, Flags]:
    """Which rows lie in a burst of misses, and which within five frames of one but not in it: (K,) each."""
    missed, near = np.zeros(len(truth.frame), dtype=bool), np.zeros(len(truth.frame), dtype=bool)
    starts = rng.random(len(truth.frame)) < BURST_RATE
    lengths = rng.choice(BURST_LENGTHS, len(truth.frame))
    order = np.lexsort((truth.frame, truth.track))
    frame, track = truth.frame[order], truth.track[order]
    for k in np.flatnonzero(starts[order]):
        first, last = frame[k], frame[k] + lengths[order[k]] - 1
        low = int(np.searchsorted(track, track[k], "left"))
        high = int(np.searchsorted(track, track[k], "right"))
        own = frame[low:high]
        a, b = np.searchsorted(own, [first, last + 1]) + low
        c, d = np.searchsorted(own, [first - BURST_MARGIN, last + BURST_MARGIN + 1]) + low
        missed[order[a:b]] = True
        near[order[c:d]] = True
    return missed, near & ~missed


def digest(frames: list[Detections]) -> str:
    """The sha256 of detections, hexadecimal: counts, then boxes and scores rounded to 1e-4, then classes."""
    counts = np.array([len(seen.scores) for seen in frames], dtype=np.int64)
    boxes = np.concatenate([np.zeros((0, 4)), *(seen.boxes for seen in frames)])
    scores = np.concatenate([np.zeros(0), *(seen.scores for seen in frames)])
    labels = np.concatenate([np.zeros(0, dtype=np.int64), *(seen.labels for seen in frames)])
    return digest_of(counts, np.round(boxes * 1e4), np.round(scores * 1e4), labels)


def _false_boxes(truth: Sequence, count: int, rng: np.random.Generator) -> Array:
    """Boxes of sizes that occur in the film, anywhere in the image; none where the film has no box."""
    if not len(truth.boxes):
        return np.zeros((0, 4))
    sizes = truth.boxes[rng.integers(0, len(truth.boxes), count), 2:]
    centres = rng.random((count, 2)) * (truth.width, truth.height)
    return np.concatenate([centres, sizes], axis=1)
