"""Truth and tracks of a film side by side: numbered from 0 without holes, with the overlaps of each frame.

Every score reads this, so that they all mean the same frames and overlaps are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import InputError
from knuckle.perception.tracking.boxes import Array, Ints, iou
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.tracker import Tracks


@dataclass(frozen=True)
class Compared:
    """For each frame the truth's tracks (n,), the told tracks (m,), and their overlaps (n, m)."""

    truth: list[Ints]
    told: list[Ints]
    overlaps: list[Array]
    truth_tracks: int
    told_tracks: int

    @property
    def truth_boxes(self) -> int:
        """Boxes of the truth."""
        return sum(len(ids) for ids in self.truth)

    @property
    def told_boxes(self) -> int:
        """Boxes of the tracker."""
        return sum(len(ids) for ids in self.told)


def compare(truth: Sequence, tracks: list[Tracks], label: int | None = None) -> Compared:
    """``tracks``, one entry for each frame of ``truth``, beside it; of one class where ``label`` is given.

    Raises InputError where there are not as many frames, or an id is told twice in one.
    """
    if len(tracks) != truth.frames:
        raise InputError(f"tracks of {len(tracks)} frames", where=truth.name, right=f"{truth.frames} frames")
    _, own = np.unique(truth.track, return_inverse=True)
    known = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(told.ids for told in tracks)]))
    truths, tolds, overlaps = [], [], []
    for k, told in enumerate(tracks):
        rows = np.arange(truth.starts[k], truth.starts[k + 1])
        ids, boxes = np.searchsorted(known, told.ids), told.boxes
        if len(np.unique(ids)) != len(ids):
            raise InputError(f"a track is told twice in frame {k + 1}", where=truth.name, right="one box for each")
        if label is not None:
            rows, mine = rows[truth.label[rows] == label], told.labels == label
            ids, boxes = ids[mine], boxes[mine]
        truths.append(own[rows].astype(np.int64))
        tolds.append(ids.astype(np.int64))
        overlaps.append(iou(truth.boxes[rows], boxes))
    return Compared(truths, tolds, overlaps, int(own.max()) + 1 if len(own) else 0, len(known))
