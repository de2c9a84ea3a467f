"""CLEAR's MOTA and identity switches (Bernardin and Stiefelhagen 2008), and IDF1 (Ristani et al. 2016), at IoU 0.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from knuckle.perception.tracking.boxes import Ints
from knuckle.perception.tracking.hota import EPS
from knuckle.perception.tracking.matches import Compared

THRESHOLD = 0.5
KEEP = 1000.0
NOBODY = -1


@dataclass(frozen=True)
class IdentityTally:
    """Sums that add up over films: boxes of the truth and told, true positives of CLEAR, switches, and of identity."""

    truth: int
    told: int
    tp: int
    switches: int
    identity_tp: int

    def __add__(self, other: IdentityTally) -> IdentityTally:
        sums = (self.truth + other.truth, self.told + other.told, self.tp + other.tp, self.switches + other.switches)
        return IdentityTally(*sums, self.identity_tp + other.identity_tp)

    def scores(self) -> dict[str, float]:
        """``mota`` and ``idf1``, at most 1, and ``idsw``, the number of switches."""
        errors = (self.told - self.tp) + (self.truth - self.tp) + self.switches
        return {
            "mota": 1.0 - errors / max(1, self.truth),
            "idf1": 2.0 * self.identity_tp / max(1, self.truth + self.told),
            "idsw": float(self.switches),
        }


def who_is_who(film: Compared) -> list[Ints]:
    """For each frame the told track of each of the truth's boxes, -1 for none: CLEAR's matching, which keeps pairs."""
    before = np.full(film.truth_tracks, NOBODY, dtype=np.int64)
    frames = []
    for own, told, overlap in zip(film.truth, film.told, film.overlaps, strict=True):
        found = np.full(len(own), NOBODY, dtype=np.int64)
        if overlap.size:
            kept = before[own][:, None] == told[None, :]
            score = np.where(overlap >= THRESHOLD - EPS, overlap + KEEP * kept, 0.0)
            rows, columns = linear_sum_assignment(score, maximize=True)
            good = score[rows, columns] > EPS
            found[rows[good]] = told[columns[good]]
        before = np.full(film.truth_tracks, NOBODY, dtype=np.int64)
        before[own] = found
        frames.append(found)
    return frames


def identity(film: Compared, pairs: list[Ints]) -> IdentityTally:
    """The sums of one film; ``pairs`` is from ``who_is_who``."""
    last = np.full(film.truth_tracks, NOBODY, dtype=np.int64)
    tp = switches = 0
    together = np.zeros((film.truth_tracks, film.told_tracks), dtype=np.int64)
    for own, told, overlap, found in zip(film.truth, film.told, film.overlaps, pairs, strict=True):
        hit = found != NOBODY
        tp += int(hit.sum())
        switches += int((hit & (last[own] != NOBODY) & (last[own] != found)).sum())
        last[own[hit]] = found[hit]
        together[np.ix_(own, told)] += overlap >= THRESHOLD
    rows, columns = linear_sum_assignment(together, maximize=True)
    sums = (film.truth_boxes, film.told_boxes, tp, switches)
    return IdentityTally(*sums, int(together[rows, columns].sum()))
