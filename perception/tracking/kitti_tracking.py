"""KITTI's tracking labels, and the detections of a real detector (PointRCNN) in AB3DMOT's format: boxes in the image.

A folder holds label/NAME.txt, and pointrcnn_car/NAME.txt where there are detections.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from knuckle.core.errors import InputError, unknown_name
from knuckle.perception.tracking.boxes import Array, Ints, from_corners, iou, usable
from knuckle.perception.tracking.detections import Detections
from knuckle.perception.tracking.number_rows import read_lines, read_table, to_number, whole
from knuckle.perception.tracking.sequence import Sequence, make_sequence

RATE_HZ = 10.0
SIZE_PX = (1242, 375)
LABELS = {"Car": 1, "Pedestrian": 2, "Cyclist": 3}
NOT_SCORED = ("Van", "Truck", "Person_sitting", "Person", "Tram", "Misc", "DontCare")
COVERED = 0.5


def is_kitti(folder: Path) -> bool:
    """Whether ``folder`` holds KITTI's tracking labels."""
    return (folder / "label").is_dir()


def kitti_names(folder: Path) -> list[str]:
    """The sequences in ``folder``, sorted. InputError where there are none."""
    names = sorted(path.stem for path in (folder / "label").glob("*.txt"))
    if not names:
        raise InputError("no sequence", where=str(folder / "label"), right="0000.txt and so on, KITTI's labels")
    return names


def read_kitti(folder: Path, name: str) -> Sequence:
    """Cars, pedestrians and cyclists of one sequence; frames without a label are empty ones.

    Raises InputError in one line for an unknown class, a row that is too short, or a box that is none.
    """
    path = folder / "label" / f"{name}.txt"
    rows, last = _read_labels(path)
    known = [row for row in rows if row[2] in LABELS]
    frame = np.array([row[0] for row in known], dtype=np.int64)
    track = np.array([row[1] for row in known], dtype=np.int64)
    label = np.array([LABELS[row[2]] for row in known], dtype=np.int64)
    boxes = from_corners(np.array([row[3] for row in known]).reshape(-1, 4))
    try:
        return make_sequence(name, RATE_HZ, SIZE_PX, last + 1, frame, track, boxes, label)
    except InputError as error:
        raise InputError(error.what, where=str(path), right=error.right) from error


def read_pointrcnn(folder: Path, name: str) -> list[Detections]:
    """The cars that PointRCNN found in each frame of a sequence, scores through a logistic to 0..1.

    What lies over a van or a region that was not labelled is left out, as KITTI's own scoring does. Raises InputError
    for a file that cannot be used; a box that is none is left out.
    """
    path = folder / "pointrcnn_car" / f"{name}.txt"
    table = read_table(path, at_least=7)
    frame, boxes = whole(table[:, 0], "frame", str(path)), from_corners(table[:, 2:6])
    scores = 1.0 / (1.0 + np.exp(-np.clip(table[:, 6], -50.0, 50.0)))
    rows, last = _read_labels(folder / "label" / f"{name}.txt")
    frames: list[Detections] = []
    for k in range(last + 1):
        apart = np.array([row[3] for row in rows if row[0] == k and row[2] in NOT_SCORED]).reshape(-1, 4)
        here = np.flatnonzero((frame == k) & usable(boxes))
        covered = _share_inside(boxes[here], from_corners(apart))
        here = here[covered < COVERED]
        frames.append(Detections(boxes[here], scores[here], np.full(len(here), LABELS["Car"], dtype=np.int64)))
    return frames


def _share_inside(boxes: Array, regions: Array) -> Array:
    """The largest share of each box's own area, or overlap, that lies in one of the regions."""
    if not len(regions) or not len(boxes):
        return np.zeros(len(boxes))
    overlap = iou(boxes, regions)
    own, other = boxes[:, 2] * boxes[:, 3], regions[:, 2] * regions[:, 3]
    shared = overlap * (own[:, None] + other[None, :]) / (1.0 + overlap)
    return np.asarray((shared / own[:, None]).max(axis=1))


def _read_labels(path: Path) -> tuple[list[tuple[int, int, str, list[float]]], int]:
    """Frame, track, class and corners of every row, and the last frame."""
    rows: list[tuple[int, int, str, list[float]]] = []
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words:
            continue
        where = f"{path}:{number}"
        if len(words) < 10:
            raise InputError(f"{len(words)} columns", where=where, right="frame, track, class, 3 more, 4 of the box")
        if words[2] not in LABELS and words[2] not in NOT_SCORED:
            raise unknown_name("class", words[2], (*LABELS, *NOT_SCORED), where=where)
        numbers = np.array([to_number(word, where) for word in (*words[:2], *words[6:10])])
        frame, track = (int(value) for value in _whole_pair(numbers[:2], where))
        rows.append((frame, track, words[2], numbers[2:].tolist()))
    if not rows:
        raise InputError("no row", where=str(path), right="KITTI's tracking labels")
    return rows, max(row[0] for row in rows)


def _whole_pair(values: Array, where: str) -> Ints:
    return whole(values, "frame or track", where)
