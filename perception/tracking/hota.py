"""HOTA (Luiten et al., IJCV 2021): detection and association in one figure, over 19 thresholds of overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from knuckle.perception.tracking.boxes import Array
from knuckle.perception.tracking.matches import Compared

ALPHAS = np.arange(1, 20) / 20.0
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class HotaTally:
    """Sums that add up over films, (19,) each: true positives, misses, false positives, and the association scores of
    the true positives."""

    tp: Array
    fn: Array
    fp: Array
    association: Array

    def __add__(self, other: HotaTally) -> HotaTally:
        sums = (self.tp + other.tp, self.fn + other.fn, self.fp + other.fp)
        return HotaTally(*sums, self.association + other.association)

    def scores(self) -> dict[str, float]:
        """``hota``, ``deta`` and ``assa``, means over the thresholds, 0 to 1."""
        deta = self.tp / np.maximum(1.0, self.tp + self.fn + self.fp)
        assa = self.association / np.maximum(1.0, self.tp)
        return {
            "hota": float(np.sqrt(deta * assa).mean()),
            "deta": float(deta.mean()),
            "assa": float(assa.mean()),
        }


def hota(film: Compared) -> HotaTally:
    """The sums of one film: a frame is matched once, by overlap weighted with how well two tracks fit on the whole."""
    shape = (film.truth_tracks, film.told_tracks)
    potential, truth_count, told_count = np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[1])
    for own, told, overlap in zip(film.truth, film.told, film.overlaps, strict=True):
        whole = overlap.sum(axis=0)[None, :] + overlap.sum(axis=1)[:, None] - overlap
        potential[np.ix_(own, told)] += np.where(whole > EPS, overlap / np.maximum(whole, EPS), 0.0)
        truth_count[own] += 1
        told_count[told] += 1
    together = truth_count[:, None] + told_count[None, :]
    alignment = potential / np.maximum(together - potential, EPS)
    tp = np.zeros(len(ALPHAS))
    matched = np.zeros((len(ALPHAS), *shape))
    for own, told, overlap in zip(film.truth, film.told, film.overlaps, strict=True):
        if not overlap.size:
            continue
        rows, columns = linear_sum_assignment(alignment[np.ix_(own, told)] * overlap, maximize=True)
        good = overlap[rows, columns][None, :] >= ALPHAS[:, None] - EPS
        tp += good.sum(axis=1)
        matched[:, own[rows], told[columns]] += good
    association = (matched * matched / np.maximum(1.0, together[None] - matched)).sum(axis=(1, 2))
    return HotaTally(tp, film.truth_boxes - tp, film.told_boxes - tp, association)
