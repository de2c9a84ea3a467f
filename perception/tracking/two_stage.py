"""ByteTrack's association in two stages, by overlap: sure detections with all tracks, unsure ones with those just seen.

OC-SORT's consistency of directions and its recovery by the last box, and MambaTrack's lost tracks after the others, are
settings.
"""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.association import assign, direction_agreement
from knuckle.perception.tracking.boxes import Array, Flags, Ints, iou
from knuckle.perception.tracking.candidates import Candidates
from knuckle.perception.tracking.tracker_config import TrackerConfig


class TwoStage:
    """The association of every tracker that is given no other."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.rows = config.momentum_frames + 1 if config.momentum else 1

    def match(self, given: Candidates) -> Ints:
        """For every track the number of its detection, -1 for none (N,)."""
        config, history, seen = self.config, given.history, given.seen
        found = np.full(len(given.mean), -1, dtype=np.int64)
        overlap = iou(given.mean, seen.boxes)
        same = given.labels[:, None] == seen.labels[None, :]
        value = overlap * seen.scores if config.fuse_score else overlap.copy()
        if config.momentum:
            value += config.momentum * direction_agreement(history, config.momentum_frames, seen.boxes)
        sure = seen.scores >= config.high
        unsure = ~sure & (seen.scores >= config.low)
        known, current = given.confirmed, history.lost == 0

        def stage(tracks: Flags, detections: Flags, overlaps: Array, least: float, worth: Array) -> None:
            free = np.ones(len(seen.scores), dtype=bool)
            free[found[found >= 0]] = False
            rows, columns = np.flatnonzero(tracks & (found < 0)), np.flatnonzero(detections & free)
            if len(rows) and len(columns):
                grid = np.ix_(rows, columns)
                # A worth below zero would make a pair that is allowed worse than none.
                r, c = assign(worth[grid] + 2.0, same[grid] & (overlaps[grid] >= least) & (overlaps[grid] > 0.0))
                found[rows[r]] = columns[c]

        if config.lost_apart:
            stage(known & current, sure, overlap, config.first_iou, value)
        stage(known, sure, overlap, config.first_iou, value)
        stage(known & current, unsure, overlap, config.second_iou, overlap)
        if config.recover_iou:
            last = iou(history.last_seen, seen.boxes)
            stage(known, sure, last, config.recover_iou, last)
        stage(~known, sure, overlap, config.new_iou, overlap)
        return found
