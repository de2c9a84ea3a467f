"""Argoverse 2 scenarios: a file in its schema, and files that cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core.errors import InputError, RunError
from knuckle.motion.tracks.argoverse_scenario import COLUMNS, read_scenario, scenario_files
from knuckle.motion.tracks.track_source import read_tracks
from knuckle.motion.tracks.windows import WindowConfig, cut_windows

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow reads Argoverse 2's scenarios")


def rows() -> dict[str, list[Any]]:
    """A vehicle that drives north at 8 m/s for 11 s, a pedestrian, and a bus with a gap, thousands of metres away."""
    out: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for name, kind, steps in (
        ("7", "vehicle", range(110)),
        ("AV", "pedestrian", range(50)),
        ("9", "bus", [*range(30), *range(40, 110)]),
    ):
        for step in steps:
            values = {
                "observed": step < 50,
                "track_id": name,
                "object_type": kind,
                "object_category": 3 if name == "7" else 1,
                "timestep": step,
                "position_x": 5000.0 + len(name),
                "position_y": -3000.0 + 0.8 * step,
                "heading": np.pi / 2,
                "velocity_x": 0.0,
                "velocity_y": 8.0,
                "scenario_id": "s1",
                "start_timestamp": 315971535.0e9,
                "end_timestamp": 315971546.0e9,
                "num_timestamps": 110,
                "focal_track_id": "7",
                "city": "austin",
            }
            for key, value in values.items():
                out[key].append(value)
    return out


def written(folder: Path, table: dict[str, list[Any]]) -> Path:
    import pyarrow.parquet as parquet

    path = folder / "s1" / "scenario_s1.parquet"
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.table(table), path)
    return path


def test_vehicles_of_a_scenario_become_tracks_near_the_origin(tmp_path: Path) -> None:
    tracks = {track.name: track for track in read_scenario(written(tmp_path, rows()))}
    assert set(tracks) == {"7", "9"}
    assert np.allclose(tracks["7"].positions[[0, -1]], [[0, 0], [0, 0.8 * 109]], atol=1e-9)
    assert [len(part) for part in tracks["9"].stretches(2)] == [30, 70]
    assert tracks["7"].dt_s == pytest.approx(0.1) and "austin" in tracks["7"].reference
    windows = cut_windows(read_tracks(str(tmp_path), 0, 1), WindowConfig())
    assert windows.sequences == ["s1"] and len(windows) == (110 - 41) // 5 + 1 + (70 - 41) // 5 + 1
    assert scenario_files(tmp_path) == scenario_files(tmp_path / "s1" / "scenario_s1.parquet")


@pytest.mark.parametrize(
    ("column", "at", "value", "line"),
    [
        ("object_type", 3, "tank", "tank.*known"),
        ("object_type", 3, "bus", "track 7 is bus and vehicle"),
        ("timestep", 3, 4, "frame 4 comes twice"),
        ("timestep", 3, 400, "0 to 400"),
        ("position_x", 3, float("nan"), "frame 3 is not finite"),
        ("position_x", 3, 1e9, "not a map's"),
        ("city", 3, "miami", "2 values of city"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, column: str, at: int, value: object, line: str) -> None:
    table = rows()
    table[column][at] = value
    with pytest.raises(InputError, match=line) as caught:
        read_scenario(written(tmp_path, table))
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    table = rows()
    del table["timestep"]
    with pytest.raises(InputError, match="no column timestep"):
        read_scenario(written(tmp_path, table))
    with pytest.raises(InputError, match="no row"):
        read_scenario(written(tmp_path, {name: values[:0] for name, values in rows().items()}))
    broken = tmp_path / "scenario_b.parquet"
    broken.write_bytes(b"PAR1 and nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_scenario(broken)


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, rows())
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(RunError, match=r"pip install 'knuckle\[scenarios\]'"):
        read_scenario(path)
