"""The settings of the tracker. Each model is tuned with them on training sequences before it is compared."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class TrackerConfig:
    """ByteTrack's two stages, with what OC-SORT and TrackSSM add; off where 0."""

    high: float = setting(0.6, "detections with this score or more are matched first", low=0.0, high=1.0)
    low: float = setting(0.1, "those below it are not used", low=0.0, high=1.0)
    start: float = setting(0.7, "a detection with this score that no track takes begins one", low=0.0, high=1.0)
    first_iou: float = setting(0.2, "overlap needed to match in the first stage", low=0.0, high=1.0)
    second_iou: float = setting(0.5, "in the second, of low scores with tracks just seen", low=0.0, high=1.0)
    new_iou: float = setting(0.3, "of a track that has been seen once", low=0.0, high=1.0)
    fuse_score: bool = setting(False, "overlaps count in proportion to the score")
    lost_apart: bool = setting(False, "lost tracks are matched after those just seen, as in MambaTrack")
    momentum: float = setting(0.0, "weight of OC-SORT's consistency of directions", low=0.0, high=2.0)
    momentum_frames: int = setting(3, "rows over which a track's direction is taken", low=1, high=9)
    recover_iou: float = setting(0.0, "overlap to match leftovers with a lost track's last box", low=0.0, high=1.0)
    memory_s: float = setting(1.2, "a lost track is kept for so long", low=0.0, high=60.0, unit="s")
    confirm: int = setting(2, "frames in a row in which a track is seen before it is told", low=1, high=30)
    duplicate_iou: float = setting(0.85, "of two tracks that overlap by more, the younger ends", low=0.0, high=1.0)
    link: float = setting(0.0, "logit above which learned association takes a pair", low=-20.0, high=20.0)
    common_shift: float = setting(0.0, "share of the others' median surprise that lost tracks take", low=0.0, high=1.0)
    noise: float = setting(0.0, "noise of detections, share of their size, for told boxes", low=0.0, high=0.5)
    coast_s: float = setting(0.0, "a lost track is still told for so long", low=0.0, high=10.0, unit="s")
    gap_s: float = setting(2.0, "a gap between frames by more ends all tracks", low=0.01, high=600.0, unit="s")


DEFAULTS = TrackerConfig()
