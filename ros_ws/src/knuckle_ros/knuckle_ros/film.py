"""A film of boxes as detections of the bus, frame by frame, and what was told of it as the tracker's own scores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.perception.thing_tracker import TrackedThings
from knuckle.perception.things import Things
from knuckle.perception.tracking.boxes import Flags
from knuckle.perception.tracking.detection_recipe import detect
from knuckle.perception.tracking.detections import Detections
from knuckle.perception.tracking.film_source import film_names, read_film
from knuckle.perception.tracking.kitti_tracking import LABELS, is_kitti, read_pointrcnn
from knuckle.perception.tracking.scores import score
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.tracker import Tracks

FRAME = "image"
SURE = 0.9


@dataclass(frozen=True)
class FilmSource:
    """Which film, and what a detector says of it."""

    data: str = setting("", "folder of MOT sequences, or KITTI's tracking folder")
    film: str = setting("", "the film to play; empty for the folder's first")
    detections: str = setting("recipe", "what a detector says of it", choices=("recipe", "truth", "pointrcnn"))
    frames: int = setting(0, "how many frames to play, 0 for all", low=0, high=1_000_000)
    seed: int = setting(0, "seed of the detection recipe", low=0, high=2**31 - 1)


@dataclass(frozen=True)
class Film:
    """The truth, the detections of every frame, and which rows of the truth are among them."""

    truth: Sequence
    frames: list[Detections]
    kept: Flags

    def __len__(self) -> int:
        return len(self.frames)

    def things(self, frame: int, epoch_ns: int = 0) -> Things:
        """The detections of a frame, stamped with the film's own time since ``epoch_ns``; px in the image."""
        seen = self.frames[frame]
        flat = np.zeros((len(seen.scores), 1))
        centres = np.concatenate([seen.boxes[:, :2], flat], axis=1)
        sizes = np.concatenate([seen.boxes[:, 2:], flat], axis=1)
        labels = tuple(str(label) for label in seen.labels.tolist())
        return Things(epoch_ns + self.truth.stamp_ns(frame), FRAME, centres, sizes, seen.scores, labels)


def load_film(source: FilmSource) -> Film:
    """The film of a source. InputError in one line where it is not there or broken."""
    names = film_names(source.data)
    name = source.film or names[0]
    if name not in names:
        raise InputError(f"no film '{name}'", where=source.data, right=", ".join(names[:8]))
    truth = read_film(source.data, name, source.frames)
    if source.detections == "pointrcnn":
        if not is_kitti(Path(source.data)):
            raise InputError("no detections of PointRCNN", where=source.data, right="KITTI's folder, pointrcnn_car/")
        truth = truth.of_label(LABELS["Car"])
        frames = read_pointrcnn(Path(source.data), name)[: truth.frames]
        return Film(truth, frames, np.ones(len(truth.frame), dtype=bool))
    if source.detections == "truth":
        rows = [truth.at(k) for k in range(truth.frames)]
        exact = [Detections(truth.boxes[r], np.full(r.stop - r.start, SURE), truth.label[r]) for r in rows]
        return Film(truth, exact, np.ones(len(truth.frame), dtype=bool))
    made = detect(truth, source.seed)
    return Film(truth, made.frames, made.kept)


def scores_of(film: Film, told: list[TrackedThings], epoch_ns: int = 0) -> dict[str, float]:
    """hota, idf1, idsw and so on of what was told of a film, as `knuckle eval tracker` scores it."""
    by_stamp = {one.stamp_ns - epoch_ns: one for one in told}
    rows = []
    for k in range(len(film)):
        stamp = film.truth.stamp_ns(k)
        one = by_stamp.get(stamp)
        n = 0 if one is None else len(one)
        boxes = np.zeros((0, 4)) if one is None else np.concatenate([one.centres[:, :2], one.sizes[:, :2]], axis=1)
        ids = np.zeros(0, dtype=np.int64) if one is None else one.ids
        labels = [] if one is None else [int(label) for label in one.labels]
        seen = np.ones(n, dtype=bool) if one is None else one.coasted_s <= 0.0
        scores = np.zeros(0) if one is None else one.scores
        number = np.array(labels, dtype=np.int64)
        rows.append(Tracks(stamp, ids, boxes, np.zeros((n, 4, 4)), scores, number, seen))
    return score(film.truth, rows, film.kept).scores()


def digest_of(told: list[TrackedThings]) -> str:
    """The first 12 digits of a sha256 of numbers and boxes, which is the same where every track is, to the last bit."""
    total = hashlib.sha256()
    for one in told:
        total.update(np.ascontiguousarray(one.ids, dtype="<i8").tobytes())
        total.update(np.ascontiguousarray(one.centres, dtype="<f8").tobytes())
        total.update(np.ascontiguousarray(one.sizes, dtype="<f8").tobytes())
    return total.hexdigest()[:12]


def tracks_of(message: Any) -> TrackedThings:
    """The arrays of a Tracks message."""
    from knuckle_ros.wire import stamp_ns

    given = message.tracks
    place = [(t.pose.pose.position.x, t.pose.pose.position.y, t.pose.pose.position.z) for t in given]
    size = [(t.size.x, t.size.y, t.size.z) for t in given]
    speed = [(t.twist.twist.linear.x, t.twist.twist.linear.y, t.twist.twist.linear.z) for t in given]
    return TrackedThings(
        stamp_ns(message.header.stamp),
        message.header.frame_id,
        np.array([t.id for t in given], dtype=np.int64),
        tuple(t.label for t in given),
        np.array([t.score for t in given], dtype=np.float64),
        np.array(place, dtype=np.float64).reshape(-1, 3),
        np.array([t.pose.covariance[0] for t in given], dtype=np.float64),
        np.array(speed, dtype=np.float64).reshape(-1, 3),
        np.array([t.twist.covariance[0] for t in given], dtype=np.float64),
        np.array(size, dtype=np.float64).reshape(-1, 3),
        np.array([t.coasted for t in given], dtype=np.float64),
    )
