"""Things in space to tracks: the tracker of boxes sees them in plan, a filter for each says how fast it moves.

The tracker knows boxes in px. Things in space are given to it as they lie on the ground: x and y in millimetres, which
is a scale like that of an image, and wider by ``reach_m``, so that what moves by its own width in a frame, or is seen
in part, still overlaps. Boxes of an image are given to it as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core.config import validate
from knuckle.hardware.spec.hand_spec import Array
from knuckle.perception.centre_filter import CentreConfig, CentreFilter
from knuckle.perception.things import Things
from knuckle.perception.tracking.boxes import Ints, iou
from knuckle.perception.tracking.candidates import Association
from knuckle.perception.tracking.detections import Detections
from knuckle.perception.tracking.motion_model import MotionModel
from knuckle.perception.tracking.simple_motion import ConstantVelocity
from knuckle.perception.tracking.tracker import Tracker, Tracks
from knuckle.perception.tracking.tracker_config import TrackerConfig

MILLIMETRES = 1000.0
THING_M = 0.1
IN_SPACE = TrackerConfig(
    high=0.5, start=0.5, first_iou=0.05, second_iou=0.2, new_iou=0.05, memory_s=1.0, coast_s=0.4, duplicate_iou=0.99
)
"""Few things, seen well, that move far in a frame."""
A_THING = CentreConfig()


@dataclass(frozen=True)
class TrackedThings:
    """The tracks at ``stamp_ns``, N of them, in order of their ``ids``.

    ``centres`` (N, 3), as they were seen, or predicted where they were not, and ``velocities`` (N, 3) a second, with
    the variance of each coordinate (N,); ``sizes`` (N, 3); ``coasted_s`` (N,) since each was last seen, 0 where it is
    now. In the frame and the units of the things.
    """

    stamp_ns: int
    frame: str
    ids: Ints
    labels: tuple[str, ...]
    scores: Array
    centres: Array
    centre_variance: Array
    velocities: Array
    velocity_variance: Array
    sizes: Array
    coasted_s: Array

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class _Known:
    """What is kept of a track: its filter, what was seen of it last, and when that was."""

    motion: CentreFilter
    centre: Array
    size: Array
    score: float
    seen_ns: int


class ThingTracker:
    """Follows things of one frame of reference. The same input gives the same output; no clock is read.

    ``in_space`` says whether things are in metres or boxes of an image. ``frame_s`` is the usual time between frames.
    """

    def __init__(
        self,
        frame_s: float,
        *,
        in_space: bool = True,
        model: MotionModel | None = None,
        tracker: TrackerConfig = IN_SPACE,
        centre: CentreConfig = A_THING,
        reach_m: float = 0.03,
        association: Association | None = None,
    ) -> None:
        self._in_space, self._reach, self._memory_s = in_space, reach_m, tracker.memory_s
        self._centre = validate(centre, where="tracks")
        self._tracker = Tracker(model or ConstantVelocity(frame_s, span=2), frame_s, tracker, association)
        self._numbers: dict[str, int] = {}
        self._known: dict[int, _Known] = {}
        self._stamp_ns: int | None = None

    def push(self, given: Things) -> TrackedThings | None:
        """The tracks after one frame; None for a frame that is not newer than the one before."""
        numbers = np.array([self._number(label) for label in given.labels], dtype=np.int64)
        plan = self._plan(given)
        told = self._tracker.push(given.stamp_ns, Detections(plan, given.scores, numbers))
        if told is None:
            return None
        if self._stamp_ns is not None and given.stamp_ns - self._stamp_ns > self._tracker.config.gap_s * 1e9:
            self._known.clear()
        self._stamp_ns = given.stamp_ns
        self._learn(told, given, plan)
        return self._tell(told, given.frame)

    def _number(self, label: str) -> int:
        return self._numbers.setdefault(label, len(self._numbers))

    def _plan(self, given: Things) -> Array:
        if not self._in_space:
            return np.concatenate([given.centres[:, :2], given.sizes[:, :2]], axis=1)
        wide = given.sizes[:, :2] + 2.0 * self._reach
        return MILLIMETRES * np.concatenate([given.centres[:, :2], wide], axis=1)

    def _learn(self, told: Tracks, given: Things, plan: Array) -> None:
        """Give each track that was seen its thing: the one that its box overlaps most."""
        rows = np.flatnonzero(told.seen)
        taken = iou(told.boxes[rows], plan).argmax(axis=1) if len(rows) else rows
        for row, thing in zip(rows, taken, strict=True):
            track, centre, size = int(told.ids[row]), given.centres[thing], given.sizes[thing]
            known, unit = self._known.get(track), 1.0 if self._in_space else float(size[:2].mean()) / THING_M
            if known is None:
                motion = CentreFilter(told.stamp_ns, centre, self._centre, unit)
                known = self._known[track] = _Known(motion, centre, size, 0.0, told.stamp_ns)
            else:
                known.motion.go(told.stamp_ns)
                known.motion.rescale(unit)
                known.motion.see(centre)
            known.centre, known.size, known.seen_ns = centre, size, told.stamp_ns
            known.score = float(given.scores[thing])
        old = told.stamp_ns - round(1e9 * self._memory_s)
        self._known = {track: known for track, known in self._known.items() if known.seen_ns >= old}

    def _tell(self, told: Tracks, frame: str) -> TrackedThings:
        names = {number: label for label, number in self._numbers.items()}
        rows = [k for k, track in enumerate(told.ids.tolist()) if track in self._known]
        rows.sort(key=lambda k: int(told.ids[k]))
        known = [self._known[int(told.ids[k])] for k in rows]
        for one in known:
            one.motion.go(told.stamp_ns)
        now = [one.seen_ns == told.stamp_ns for one in known]
        centres = [one.centre if seen else one.motion.centre for one, seen in zip(known, now, strict=True)]
        sizes = [one.size for one in known]
        if not self._in_space:
            # Boxes of an image are told as the tracker blends and predicts them, so that they score as its own.
            centres = [np.append(told.boxes[k, :2], 0.0) for k in rows]
            sizes = [np.append(told.boxes[k, 2:], 0.0) for k in rows]
        variances = [
            one.motion.noise if seen else one.motion.position_variance for one, seen in zip(known, now, strict=True)
        ]
        return TrackedThings(
            stamp_ns=told.stamp_ns,
            frame=frame,
            ids=told.ids[rows],
            labels=tuple(names[int(told.labels[k])] for k in rows),
            scores=np.array([one.score for one in known]),
            centres=np.array(centres).reshape(-1, 3),
            centre_variance=np.array(variances),
            velocities=np.array([one.motion.velocity for one in known]).reshape(-1, 3),
            velocity_variance=np.array([one.motion.velocity_variance for one in known]),
            sizes=np.array(sizes).reshape(-1, 3),
            coasted_s=np.array([(told.stamp_ns - one.seen_ns) * 1e-9 for one in known]),
        )
