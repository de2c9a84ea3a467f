"""Where films come from: a folder of MOT sequences, a folder of KITTI's, or films that are simulated."""

from __future__ import annotations

from collections.abc import Sequence as Several
from pathlib import Path

from knuckle.core.errors import InputError, unknown_name
from knuckle.perception.tracking.kitti_tracking import is_kitti, kitti_names, read_kitti
from knuckle.perception.tracking.mot_folder import is_mot, mot_names, read_mot
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.simulated_motion import KINDS, simulated

SIMULATED = "simulated"


def film_names(data: str, seed: int = 0, each: int = 2) -> list[str]:
    """The films of ``data``: a folder, ``simulated`` for ``each`` of every kind, or ``simulated-KIND``.

    Raises InputError where there is no such folder, or none in it.
    """
    if data.startswith(SIMULATED):
        kind = data.removeprefix(SIMULATED).removeprefix("-")
        if kind and kind not in KINDS:
            raise unknown_name("kind of film", kind, KINDS, where="--data")
        return [f"{name}-{seed + k}" for name in ([kind] if kind else KINDS) for k in range(each)]
    folder = Path(data)
    if is_kitti(folder):
        return kitti_names(folder)
    if is_mot(folder):
        return [folder.name] if (folder / "seqinfo.ini").is_file() else mot_names(folder)
    right = "a folder of MOT sequences, KITTI's tracking folder with label/, or 'simulated'"
    raise InputError("no films", where=data, right=right)


def read_film(data: str, name: str, frames: int = 0) -> Sequence:
    """One film of ``data``, its first ``frames`` frames; all where 0. InputError in one line where it is broken."""
    if data.startswith(SIMULATED):
        kind, _, seed = name.rpartition("-")
        if kind not in KINDS or not seed.isdecimal() or len(seed) > 9:
            raise InputError(f"no film '{name}'", where=data, right=f"{'|'.join(KINDS)} and a number: players-3")
        return simulated(kind, int(seed), frames or 400)
    folder = Path(data)
    if is_kitti(folder):
        return read_kitti(folder, name).head(frames)
    return read_mot(folder if (folder / "seqinfo.ini").is_file() else folder / name).head(frames)


def read_films(data: str, names: Several[str], frames: int = 0) -> list[Sequence]:
    """Some films of ``data``."""
    return [read_film(data, name, frames) for name in names]
