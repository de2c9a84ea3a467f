"""MOT Challenge folders: NAME/seqinfo.ini and NAME/gt/gt.txt, as MOT17, DanceTrack and SportsMOT have them."""

from __future__ import annotations

import configparser
from pathlib import Path

import numpy as np

from knuckle.core.errors import InputError
from knuckle.perception.tracking.boxes import from_corner
from knuckle.perception.tracking.number_rows import read_lines, read_table, to_number, whole
from knuckle.perception.tracking.sequence import MAX_FRAMES, Sequence, make_sequence

MAX_SEQUENCES = 1000
PLAYER = 1


def is_mot(folder: Path) -> bool:
    """Whether ``folder`` is, or holds, MOT sequences."""
    return (folder / "seqinfo.ini").is_file() or any(folder.glob("*/seqinfo.ini"))


def mot_names(folder: Path) -> list[str]:
    """The names of the sequences in ``folder``, sorted. InputError where there are none or over a thousand."""
    names = sorted(path.parent.name for path in folder.glob("*/seqinfo.ini"))
    if not 0 < len(names) <= MAX_SEQUENCES:
        right = "a folder of MOT sequences, each with seqinfo.ini and gt/gt.txt"
        raise InputError(f"{len(names)} sequences", where=str(folder), right=right)
    return names


def read_mot(folder: Path) -> Sequence:
    """The true boxes of one MOT sequence.

    Rows whose seventh column is 0 (regions to be ignored, as MOT17 marks them) are left out; frames begin at 1 in the
    file and at 0 here. Raises InputError in one line for what is missing or wrong, with file and line.
    """
    name, rate, size, length = _read_info(folder / "seqinfo.ini")
    path = folder / "gt" / "gt.txt"
    rows = read_table(path, at_least=8)
    rows = rows[rows[:, 6] != 0.0]
    where = str(path)
    frame, track = whole(rows[:, 0], "frame", where) - 1, whole(rows[:, 1], "track", where)
    label = whole(rows[:, 7], "class", where)
    if ((label < -1) | (label > 1000)).any():
        wrong = label[np.argmax((label < -1) | (label > 1000))]
        raise InputError(f"unknown class {wrong}", where=where, right="-1 to 1000")
    try:
        return make_sequence(name, rate, size, length, frame, track, from_corner(rows[:, 2:6]), label)
    except InputError as error:
        raise InputError(error.what, where=where, right=error.right) from error


def _read_info(path: Path) -> tuple[str, float, tuple[int, int], int]:
    """Name, rate in Hz, width and height in px, frames."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string("\n".join(read_lines(path)))
        words = {key: parser["Sequence"][key] for key in ("frameRate", "seqLength", "imWidth", "imHeight")}
        name = parser["Sequence"].get("name", path.parent.name)
    except (configparser.Error, KeyError) as error:
        what = "no [Sequence] with frameRate, seqLength, imWidth and imHeight"
        raise InputError(what, where=str(path), right="a seqinfo.ini of the MOT Challenge") from error
    rate, frames, width, height = (to_number(word, f"{path}:{key}") for key, word in words.items())
    if not (1 <= width <= 1e5 and 1 <= height <= 1e5 and 1 <= frames <= MAX_FRAMES):
        what = f"{frames:g} frames of {width:g} x {height:g} px"
        raise InputError(what, where=str(path), right=f"1 to {MAX_FRAMES} frames, 1 to 100000 px")
    return name, rate, (int(width), int(height)), int(frames)
