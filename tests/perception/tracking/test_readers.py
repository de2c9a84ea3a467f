"""Films of others: read as they are written, and refused in one line that names file, line and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knuckle.core.errors import InputError
from knuckle.perception.tracking.film_source import film_names, read_film
from knuckle.perception.tracking.kitti_tracking import read_kitti, read_pointrcnn
from knuckle.perception.tracking.mot_folder import read_mot
from tests.perception.tracking.films import write_mot

GOOD = [[1, 7, 10, 20, 30, 40, 1, 1, 1], [2, 7, 12, 20, 30, 40, 1, 1, 1], [2, 3, 100, 20, 30, 40, 1, 1, 1]]


def test_a_mot_folder_is_read_by_frame_and_track_with_centres(tmp_path: Path) -> None:
    film = read_mot(write_mot(tmp_path / "a", GOOD[::-1]))
    assert (film.rate_hz, film.width, film.height, film.frames) == (25.0, 640, 480, 10)
    assert film.frame.tolist() == [0, 1, 1] and film.track.tolist() == [7, 3, 7]
    assert film.boxes[0].tolist() == [25.0, 40.0, 30.0, 40.0]
    assert film.at(1) == slice(1, 3) and film.at(5) == slice(3, 3)


def test_rows_that_are_marked_as_not_to_be_scored_are_left_out(tmp_path: Path) -> None:
    ignored = [[1, 9, 10, 20, 30, 40, 0, 8, 1]]
    assert read_mot(write_mot(tmp_path / "a", GOOD + ignored)).track.tolist() == [7, 3, 7]


def test_a_track_of_one_point_and_frames_without_rows_are_a_film(tmp_path: Path) -> None:
    film = read_mot(write_mot(tmp_path / "a", [[4, 1, 10, 20, 30, 40, 1, 1, 1]]))
    assert len(film.frame) == 1 and film.starts.tolist() == [0, 0, 0, 0] + [1] * 7


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1, 8, 10, 20, 0, 40, 1, 1, 1], "width and height above zero"),
        ([1, 8, 10, 20, 30, -4, 1, 1, 1], "width and height above zero"),
        ([1, 8, "nan", 20, 30, 40, 1, 1, 1], "'nan' is not a finite number"),
        ([1, 8, "1e999", 20, 30, 40, 1, 1, 1], "not a finite number"),
        ([1, 8, "9" * 400, 20, 30, 40, 1, 1, 1], "not a finite number"),
        ([1, 7, 50, 20, 30, 40, 1, 1, 1], "track 7 is twice in frame 1"),
        ([11, 7, 50, 20, 30, 40, 1, 1, 1], "frame 11 is not in the film; frames 1 to 10"),
        ([0, 7, 50, 20, 30, 40, 1, 1, 1], "frame 0 is not in the film"),
        ([1.5, 8, 50, 20, 30, 40, 1, 1, 1], "frame 1.5"),
        ([3, 7, 50, 20, 30, 40, 1, 2, 1], "track 7 changes its class"),
        ([3, 8, 50, 20, 30, 40, 1, -7, 1], "unknown class -7"),
        ([3, 8, 50, 20], "4 columns; at least 8"),
        (["", "", "", "", "", "", "", ""], "'' is not a finite number"),
    ],
)
def test_a_wrong_row_is_refused_in_one_line(tmp_path: Path, row: list[Any], said: str) -> None:
    folder = write_mot(tmp_path / "a", [*GOOD, row])
    with pytest.raises(InputError) as caught:
        read_mot(folder)
    assert said in str(caught.value) and "gt.txt" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "info", ["", "no ini at all", "[Sequence]\nframeRate=0\nseqLength=10\nimWidth=1\nimHeight=1\n", "[Sequence]\n"]
)
def test_a_seqinfo_that_says_nothing_usable_is_refused(tmp_path: Path, info: str) -> None:
    with pytest.raises(InputError):
        read_mot(write_mot(tmp_path / "a", GOOD, info=info))


def test_a_missing_file_and_a_folder_without_films_are_refused(tmp_path: Path) -> None:
    folder = write_mot(tmp_path / "a", GOOD)
    (folder / "gt" / "gt.txt").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read_mot(folder)
    with pytest.raises(InputError, match="no films"):
        film_names(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="unknown kind of film 'dancer'; did you mean 'dancers'"):
        film_names("simulated-dancer")
    with pytest.raises(InputError, match="no film"):
        read_film("simulated", "players-x")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_in_a_label_file_do_more_than_be_refused(tmp_path: Path, data: bytes) -> None:
    folder = tmp_path / "fuzz"
    if not folder.exists():
        write_mot(folder, GOOD)
    (folder / "gt" / "gt.txt").write_bytes(data)
    line = ""
    try:
        read_mot(folder)
    except InputError as error:
        line = str(error)
    assert "\n" not in line


def kitti(folder: Path, labels: list[str], found: str = "") -> Path:
    for name, text in (("label", "\n".join(labels)), ("pointrcnn_car", found)):
        (folder / name).mkdir()
        (folder / name / "0000.txt").write_text(text + "\n", encoding="utf-8")
    return folder


def test_kitti_labels_become_three_classes_and_the_rest_is_left_out(tmp_path: Path) -> None:
    rows = [
        "0 1 Car 0 0 -1 100 200 300 400 1 1 1 1 1 1 1",
        "2 2 Pedestrian 0 0 -1 90 250 120 320 1 1 1 1 1 1 1",
        "0 -1 DontCare -1 -1 -10 600 10 700 60 -1 -1 -1 -1 -1 -1 -1",
    ]
    folder = kitti(tmp_path, rows, "0,2,100,200,300,400,2.5\n1,2,5,5,4,9,2.5")
    film = read_kitti(folder, "0000")
    assert film.frames == 3 and film.label.tolist() == [1, 2]
    assert film.boxes[0].tolist() == [200.0, 300.0, 200.0, 200.0]
    found = read_pointrcnn(folder, "0000")
    assert [len(seen.scores) for seen in found] == [1, 0, 0]
    assert found[0].scores[0] == pytest.approx(1.0 / (1.0 + np.exp(-2.5)))


def test_detections_over_what_kitti_does_not_score_are_left_out(tmp_path: Path) -> None:
    rows = ["0 1 Van 0 0 -1 100 100 200 200 1 1 1 1 1 1 1", "0 2 Car 0 0 -1 400 100 500 200 1 1 1 1 1 1 1"]
    found = "0,2,101,101,201,201,3\n0,2,401,101,501,201,3"
    (seen,) = read_pointrcnn(kitti(tmp_path, rows, found), "0000")
    assert seen.boxes[:, 0].tolist() == [451.0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0 1 Bicycle 0 0 -1 100 100 200 200 1 1 1 1 1 1 1", "unknown class 'Bicycle'"),
        ("0 1 Car 0 0 -1 200 100 200 200 1 1 1 1 1 1 1", "width and height above zero"),
        ("0 1 Car 0 0 -1 nan 100 200 200 1 1 1 1 1 1 1", "not a finite number"),
        ("0 1 Car 0 0", "5 columns"),
        ("0.5 1 Car 0 0 -1 100 100 200 200 1 1 1 1 1 1 1", "frame or track 0.5"),
        ("-3 1 Car 0 0 -1 100 100 200 200 1 1 1 1 1 1 1", "frame -2 is not in the film"),
        ("", "no row"),
    ],
)
def test_a_wrong_kitti_row_is_refused_in_one_line(tmp_path: Path, row: str, said: str) -> None:
    rows = ["1 5 Car 0 0 -1 100 100 200 200 1 1 1 1 1 1 1", row] if row else [row]
    with pytest.raises(InputError) as caught:
        read_kitti(kitti(tmp_path, rows), "0000")
    assert said in str(caught.value) and "0000.txt" in str(caught.value)
