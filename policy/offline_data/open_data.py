"""Recorded data by where they lie: one name for every kind that is read."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.dataset import Dataset

RECORDED = Path("runs/offline")
"""Where recordings are looked for by name."""
KINDS = "a Minari folder, the --out of a knuckle collect, a D4RL .hdf5, an .npz of arrays or of door demonstrations"
_ONE = re.compile(r"(.+):(\d+)")


def open_data(source: str, *, time_limit: int = 0) -> Dataset:
    """The data set that ``source`` means: a path, a name in `RECORDED`, or a data set of Minari's own folder.

    ``SOURCE:K`` is episode K of it alone, from 0: what is imitated from one trajectory. ``time_limit`` is for D4RL
    files without timeouts. InputError in one line where there is none, or it is of a kind that is not read: pickles
    never are.
    """
    if (one := _ONE.fullmatch(source)) and not Path(source).exists():
        return open_data(one[1], time_limit=time_limit).episode(int(one[2]))
    path = _path(source)
    if path.is_dir():
        from knuckle.policy.offline_data.minari_folder import METADATA, read_minari

        for folder in (path, path / "minari", path / "data"):
            if (folder / METADATA).is_file():
                found = read_minari(folder)
                return replace(found, name=path.name) if folder.name == "minari" else found
        raise InputError("no finished data set is in it", where=str(path), right=KINDS)
    suffix = path.suffix.lower()
    if suffix in (".hdf5", ".h5"):
        from knuckle.policy.offline_data.d4rl_file import read_d4rl

        return read_d4rl(path, time_limit=time_limit)
    if suffix == ".npz":
        from knuckle.policy.offline_data.door import ARRAYS, door_demonstrations
        from knuckle.policy.offline_data.flat_rows import array_names, read_arrays

        return door_demonstrations(path) if array_names(path) >= set(ARRAYS) else read_arrays(path)
    if suffix in (".pkl", ".pickle"):
        what = "a pickle is not read: it may run anything"
        raise InputError(what, where=str(path), right="load it yourself and give the object to from_replay_buffer")
    if suffix == ".zip":
        raise InputError("an agent is no data", where=str(path), right="knuckle data record --agent, then its --out")
    raise InputError(f"a file of kind '{suffix}'", where=str(path), right=KINDS)


def _path(source: str) -> Path:
    downloaded = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
    places = [Path(source), RECORDED / source, downloaded / source]
    for path in places:
        if source and path.exists():
            return path
    raise InputError("no such data set", where=source or "data", right=f"{KINDS}, or a name in {RECORDED}")
