"""Whether a track has its own identity again after the detector did not see it for 5, 10 or 20 frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.perception.tracking.boxes import Flags, Ints
from knuckle.perception.tracking.clear_identity import NOBODY
from knuckle.perception.tracking.sequence import Sequence

GAPS = (5, 10, 20)
LONGER = 3
"""A gap counts as one of n frames when it has n to n + 2: single misses may touch a burst."""
BEFORE, AFTER = 5, 10
"""The identity is that of the last match at most 5 rows before a gap, and of the first at most 10 after."""


@dataclass(frozen=True)
class GapTally:
    """``kept`` of ``total`` gaps, for each of ``GAPS``."""

    kept: Ints
    total: Ints

    def __add__(self, other: GapTally) -> GapTally:
        return GapTally(self.kept + other.kept, self.total + other.total)

    def scores(self) -> dict[str, float]:
        """``kept_5``, ``kept_10``, ``kept_20``: shares, NaN where there was no such gap."""
        share = np.where(self.total > 0, self.kept / np.maximum(self.total, 1), np.nan)
        return {f"kept_{gap}": float(value) for gap, value in zip(GAPS, share, strict=True)}


def gaps(truth: Sequence, kept: Flags, pairs: list[Ints]) -> GapTally:
    """Of one film: ``kept`` (K,) says which rows of the truth were detected, ``pairs`` who was matched with whom.

    A gap before which nobody followed the track is not counted; one after which nobody does is not kept.
    """
    found = np.concatenate([np.zeros(0, dtype=np.int64), *pairs])
    good, total = np.zeros(len(GAPS), dtype=np.int64), np.zeros(len(GAPS), dtype=np.int64)
    for track in np.unique(truth.track):
        rows = np.flatnonzero(truth.track == track)
        missed = np.concatenate([[False], ~kept[rows], [False]])
        edges = np.flatnonzero(missed[1:] != missed[:-1]).reshape(-1, 2)
        for first, end in edges:
            which = [k for k, gap in enumerate(GAPS) if gap <= end - first < gap + LONGER]
            before = found[rows[max(0, first - BEFORE) : first]]
            before = before[before != NOBODY]
            if not which or not len(before) or end == len(rows):
                continue
            after = found[rows[end : end + AFTER]]
            after = after[after != NOBODY]
            total[which[0]] += 1
            good[which[0]] += len(after) > 0 and after[0] == before[-1]
    return GapTally(good, total)
