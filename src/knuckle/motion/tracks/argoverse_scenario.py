"""Argoverse 2 scenarios (Wilson et al. 2021): scenario_ID.parquet, a row for each track and time step at 10 Hz.

The columns are those of av2's scenario serialisation. Positions are metres in the city's frame, which lies thousands of
metres away: they are given relative to the scenario's first row.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError, RunError, unknown_name
from knuckle.motion.tracks.track import Track, make_track

Array = NDArray[np.float64]
RATE_HZ = 10.0
COLUMNS = (
    "observed",
    "track_id",
    "object_type",
    "object_category",
    "timestep",
    "position_x",
    "position_y",
    "heading",
    "velocity_x",
    "velocity_y",
    "scenario_id",
    "start_timestamp",
    "end_timestamp",
    "num_timestamps",
    "focal_track_id",
    "city",
)
READ = ("track_id", "object_type", "timestep", "position_x", "position_y", "scenario_id", "num_timestamps", "city")
CLASSES = (
    "vehicle",
    "pedestrian",
    "motorcyclist",
    "cyclist",
    "bus",
    "static",
    "background",
    "construction",
    "riderless_bicycle",
    "unknown",
)
VEHICLES = ("vehicle", "bus", "motorcyclist", "cyclist")


def scenario_files(folder: Path) -> list[Path]:
    """The scenarios in ``folder`` and its folders, sorted; one may be given by itself."""
    return [folder] if folder.suffix == ".parquet" else sorted(folder.rglob("scenario_*.parquet"))


def read_scenario(path: Path, classes: Sequence[str] = VEHICLES) -> list[Track]:
    """The tracks of ``classes`` in one scenario; times at which a track has no row are gaps.

    Needs pyarrow. Raises InputError in one line for a file, a column or a row that cannot be used, RunError where
    pyarrow is missing.
    """
    rows = _columns(path)
    kinds, names = rows["object_type"], rows["track_id"]
    for kind in sorted({str(kind) for kind in kinds}):
        if kind not in CLASSES:
            raise unknown_name("object_type", kind, CLASSES, where=str(path))
    for column in ("scenario_id", "city"):
        if len(set(rows[column])) != 1:
            what = f"{len(set(rows[column]))} values of {column}"
            raise InputError(what, where=str(path), right="one scenario in one city's frame")
    place = np.stack([rows["position_x"], rows["position_y"]], -1).astype(np.float64)
    steps = rows["timestep"].astype(np.int64)
    last = int(rows["num_timestamps"][0]) - 1
    if steps.min() < 0 or steps.max() > last:
        raise InputError(f"time steps {steps.min()} to {steps.max()}", where=str(path), right=f"0 to {last}")
    origin = place[np.isfinite(place).all(1)][:1]
    place = place - (origin if len(origin) else 0.0)
    sequence, reference = str(rows["scenario_id"][0]), f"city {rows['city'][0]}, first row"
    tracks = []
    for name in sorted({str(name) for name in names}):
        own = names == name
        kind = str(kinds[own][0])
        if len(set(kinds[own])) != 1:
            what = f"track {name} is {' and '.join(sorted(set(kinds[own])))}"
            raise InputError(what, where=str(path), right="one object_type for a track")
        track = make_track(name, sequence, kind, steps[own], place[own], 1 / RATE_HZ, reference)
        if kind in classes:
            tracks.append(track)
    return tracks


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    try:
        parquet, arrow = importlib.import_module("pyarrow.parquet"), importlib.import_module("pyarrow")
    except ImportError as error:
        right = "pip install 'knuckle[scenarios]'"
        raise RunError(
            "an Argoverse 2 scenario is read by pyarrow, which is missing", where=str(path), right=right
        ) from error
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"the scenario cannot be read ({line})", where=str(path), right="a parquet file") from error
    missing = [name for name in READ if name not in table.column_names]
    if missing:
        right = f"Argoverse 2's columns: {', '.join(COLUMNS)}"
        raise InputError(f"no column {', '.join(missing)}", where=str(path), right=right)
    if table.num_rows == 0:
        raise InputError("no row", where=str(path), right="a scenario with tracks")
    found = {name: table.column(name).to_numpy(zero_copy_only=False) for name in READ}
    for name in ("timestep", "num_timestamps"):
        if found[name].dtype.kind not in "iu":
            raise InputError(f"{name} is of type {found[name].dtype}", where=str(path), right="whole numbers")
    for name in ("position_x", "position_y"):
        if found[name].dtype.kind not in "fiu":
            raise InputError(f"{name} is of type {found[name].dtype}", where=str(path), right="metres")
    return found
