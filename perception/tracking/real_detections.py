"""A film's detections by a real detector, as evaluation and tuning take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from knuckle.core.errors import InputError
from knuckle.perception.tracking.association import assign
from knuckle.perception.tracking.boxes import iou
from knuckle.perception.tracking.detection_recipe import Detected
from knuckle.perception.tracking.kitti_tracking import LABELS, is_kitti, read_pointrcnn
from knuckle.perception.tracking.sequence import Sequence

SAME = 0.5
"""A detection is the labelled box that it overlaps by this much."""


def pointrcnn_cars(data: str, films: list[Sequence]) -> tuple[list[Sequence], list[Detected]]:
    """The cars of KITTI's ``films`` alone, and what PointRCNN saw of them. InputError where ``data`` is not KITTI's."""
    if not is_kitti(Path(data)):
        raise InputError("no detections of PointRCNN", where=data, right="KITTI's folder, with pointrcnn_car/")
    cars = [film.of_label(LABELS["Car"]) for film in films]
    return cars, [_known_again(film, Path(data)) for film in cars]


def _known_again(film: Sequence, folder: Path) -> Detected:
    frames = read_pointrcnn(folder, film.name)[: film.frames]
    kept, rows = np.zeros(len(film.frame), dtype=bool), []
    for k, seen in enumerate(frames):
        overlap = iou(film.boxes[film.at(k)], seen.boxes)
        own, its = assign(overlap, overlap >= SAME)
        found = np.full(len(seen.scores), -1, dtype=np.int64)
        found[its] = own + film.starts[k]
        kept[found[its]] = True
        rows.append(found)
    return Detected(frames, kept, rows)
