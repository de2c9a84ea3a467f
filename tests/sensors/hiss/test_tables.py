"""A user's own recordings: what is read of CSV and MCAP files, at which rate, in which unit of time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError, RecordingError
from knuckle.sensors.hiss.table_file import read_columns, stamps_of
from knuckle.sensors.hiss.table_task import Columns, load_trials

from .conftest import made_trial, write_csv

COLUMNS = Columns(("a", "b"), ("x",), "t", 50.0)


def test_a_file_comes_back_as_it_was_written_and_is_divided_in_time(tmp_path: Path) -> None:
    trial = made_trial(0, 200)
    trials = load_trials(write_csv(tmp_path / "a.csv", trial), COLUMNS)
    assert [t.group for t in trials] == ["train", "validation", "test"]
    np.testing.assert_allclose(np.concatenate([t.inputs for t in trials]), trial.inputs)
    np.testing.assert_allclose(np.concatenate([t.targets for t in trials]), trial.targets[:, :1])


def test_faster_recordings_are_averaged_down_and_empty_targets_are_none(tmp_path: Path) -> None:
    rows = ["t_ms,b,a,x"] + [f"{5 * k},{k},{2 * k},{k if k % 40 == 36 else ''}" for k in range(400)]
    path = tmp_path / "fast.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    trials = load_trials(path, Columns(("a", "b"), ("x",), "t_ms", 50.0))
    inputs = np.concatenate([t.inputs for t in trials])
    np.testing.assert_allclose(inputs[5], [2 * 18.5, 18.5])  # the mean of samples 17 to 20
    known = np.concatenate([t.known for t in trials])
    assert known.sum() == 10
    targets = np.concatenate([t.targets for t in trials])
    assert targets[9, 0] == 36.0


def test_a_gap_ends_a_trial_and_five_files_are_divided_by_file(tmp_path: Path) -> None:
    for k in range(4):
        write_csv(tmp_path / f"{k}.csv", made_trial(k, 60))
    lines = write_csv(tmp_path / "4.csv", made_trial(4, 120)).read_text().splitlines()
    moved = [lines[0], *lines[1:61], *(f"{float(r.split(',')[0]) + 3},{r.split(',', 1)[1]}" for r in lines[61:])]
    (tmp_path / "4.csv").write_text("\n".join(moved) + "\n", encoding="utf-8")
    trials = load_trials(tmp_path, COLUMNS)
    assert [(t.name, t.group, len(t)) for t in trials[3:]] == [
        ("3.csv+0s", "validation", 60),
        ("4.csv+0s", "test", 60),
        ("4.csv+4.2s", "train", 60),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "unknown column 't'"),
        ("t,a,b,x\n", "the recording is empty"),
        ("t,a,b,x\n0,1,2\n", "row 0 has 3 cells; 4, as the header says"),
        ("t,a,b,x\n0,1,two,3\n", "row 0: could not convert string to float: 'two'"),
        ("t,a,b,x\n0,1,2,3\n,1,2,3\n", "'t' is empty at row 1"),
    ],
)
def test_a_broken_file_is_named_with_its_row(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_trials(path, COLUMNS)
    assert line in str(caught.value) and str(path) in str(caught.value)


def test_times_in_nanoseconds_that_are_not_named_so_are_seen() -> None:
    column = np.arange(5) * 2e7
    with pytest.raises(RecordingError, match=r"steps of 2e\+07 s; seconds, or a name that ends in _ms, _us or _ns"):
        stamps_of(column, "t", where="file")
    np.testing.assert_array_equal(stamps_of(column, "t_ns", where="file"), np.arange(5) * 20_000_000)


@pytest.fixture
def imu_mcap(tmp_path: Path) -> Path:
    """Twenty messages of a topic of vectors, and one of another topic between the first and the second."""
    writer_of = pytest.importorskip("mcap_ros2.writer").Writer
    vector = "MSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"
    definition = f"geometry_msgs/Vector3 v\nfloat64[] field\nstring name\n{80 * '='}\n{vector}"
    path = tmp_path / "run.mcap"
    with open(path, "wb") as stream:
        writer = writer_of(stream)
        schema = writer.register_msgdef("demo_msgs/msg/Both", definition)
        for k in range(20):
            message = {"v": {"x": float(k), "y": 0.0, "z": -1.0}, "field": [0.5 * k, 1.0], "name": "7"}
            for topic in ("/skin", "/truth") if k == 1 else ("/skin",):
                stamp = 1_000_000_000 + 20_000_000 * k
                writer.write_message(topic=topic, schema=schema, message=message, log_time=stamp, publish_time=stamp)
        writer.finish()
    return path


def test_columns_of_an_mcap_file_are_fields_of_its_topics(imu_mcap: Path) -> None:
    table = read_columns(imu_mcap, ["t", "/skin:v.x", "/skin:field[0]", "/truth:v.z"])
    np.testing.assert_allclose(table[:, 1], np.arange(2, 20))  # from when all columns are known
    np.testing.assert_allclose(table[:, 2], 0.5 * np.arange(2, 20))
    np.testing.assert_allclose(np.diff(table[:, 0]), 0.02)
    assert (table[:, 3] == -1.0).all()


@pytest.mark.parametrize(
    ("column", "line"),
    [
        ("/skni:v.x", "unknown topic '/skni'"),
        ("/skin:w.x", "unknown field 'w'"),
        ("x", "'x' is no column"),
        ("/skin:field[7]", "not in the message"),
        ("/skin:v", "'/skin:v' is not a number but Vector3; /skin:v.x, /skin:v.y, /skin:v.z"),
        ("/skin:field", "'/skin:field' is not a number but list; /skin:field[0]"),
        ("/skin:name", "'/skin:name' is not a number but str; a field that is a number"),
    ],
)
def test_a_column_that_an_mcap_file_lacks_is_named(imu_mcap: Path, column: str, line: str) -> None:
    with pytest.raises(InputError, match=".") as caught:
        read_columns(imu_mcap, ["t", column])
    assert line in str(caught.value)
