"""Small films that tests share: boxes on straight ways, and folders of the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from knuckle.perception.tracking.detections import Detections
from knuckle.perception.tracking.sequence import Sequence, make_sequence
from knuckle.perception.tracking.tracker import Tracks

RATE_HZ = 25.0


def straight(tracks: int = 3, frames: int = 40, speed: float = 3.0, name: str = "straight") -> Sequence:
    """Boxes side by side, far from each other, that all go right by ``speed`` px a frame."""
    frame, track = (part.ravel() for part in np.meshgrid(np.arange(frames), np.arange(tracks), indexing="ij"))
    boxes = np.stack([100.0 + speed * frame, 100.0 + 150.0 * track, 0 * frame + 40.0, 0 * frame + 90.0], axis=1)
    return make_sequence(name, RATE_HZ, (1280, 720), frames, frame, track, boxes, np.ones_like(frame))


def exact(film: Sequence) -> list[Detections]:
    """The truth itself, as a detector that is sure would see it."""
    rows = [film.at(k) for k in range(film.frames)]
    return [Detections(film.boxes[r], np.full(r.stop - r.start, 0.9), film.label[r]) for r in rows]


def without(seen: Detections, row: int) -> Detections:
    """One detection less."""
    return Detections(*(np.delete(part, row, axis=0) for part in (seen.boxes, seen.scores, seen.labels)))


def write_mot(folder: Path, rows: list[list[Any]], frames: int = 10, info: str | None = None) -> Path:
    """A MOT sequence in ``folder`` with these rows."""
    (folder / "gt").mkdir(parents=True)
    text = f"[Sequence]\nname={folder.name}\nframeRate=25\nseqLength={frames}\nimWidth=640\nimHeight=480\n"
    (folder / "seqinfo.ini").write_text(text if info is None else info, encoding="utf-8")
    lines = [",".join(str(word) for word in row) for row in rows]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def jumble(seed: int, tracks: int = 6, frames: int = 30) -> tuple[Sequence, list[Tracks]]:
    """Boxes that wander and overlap, and tracks of them with holes, strays, false ones and identities that change."""
    rng = np.random.default_rng(seed)
    centres = 200.0 + np.cumsum(rng.normal(0.0, 6.0, (frames, tracks, 2)), axis=0) + rng.normal(0.0, 40.0, (tracks, 2))
    boxes = np.concatenate([centres, rng.uniform(30.0, 60.0, (frames, tracks, 2))], axis=2)
    there = rng.random((frames, tracks)) < 0.9
    frame, track = np.nonzero(there)
    size = (640, 480)
    truth = make_sequence(
        f"jumble-{seed}", RATE_HZ, size, frames, frame, track + 11, boxes[there], np.ones(len(frame), dtype=np.int64)
    )
    told, names = [], np.arange(1, tracks + 1)
    for k in range(frames):
        if rng.random() < 0.15:
            a, b = rng.integers(0, tracks, 2)
            names[[a, b]] = names[[b, a]]
        if rng.random() < 0.1:
            names[rng.integers(0, tracks)] = 100 + k
        rows = np.flatnonzero(rng.random(tracks) < 0.85)
        seen = boxes[k, rows] + rng.normal(0.0, 4.0, (len(rows), 4))
        false = np.array([[*rng.uniform(100.0, 300.0, 2), 40.0, 40.0]])[: int(rng.random() < 0.3)].reshape(-1, 4)
        ids = np.concatenate([names[rows], np.full(len(false), 1000 + k)])
        whole = np.concatenate([seen, false])
        m = len(ids)
        flags, label = np.ones(m, dtype=bool), np.ones(m, dtype=np.int64)
        told.append(Tracks(truth.stamp_ns(k), ids, whole, np.zeros((m, 4, 4)), np.ones(m), label, flags))
    return truth, told
