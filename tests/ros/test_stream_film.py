"""`knuckle stream FOLDER`: films of boxes, with and without the bus, and what is wrong with them in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from knuckle.cli import main
from knuckle.perception.tracking.evaluation import tuned_of
from knuckle.perception.tracking.follow import follow
from knuckle.perception.tracking.rivals import rival, weights_of
from knuckle.perception.tracking.scores import score
from knuckle.perception.tracking.weights_folder import SHIPPED
from tests.perception.tracking.films import write_mot

pytestmark = pytest.mark.ros
DOMAIN = 1 + os.getpid() % 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of five that wander, cross and hide each other."""
    root = tmp_path_factory.mktemp("films")
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        ways = 200.0 + np.cumsum(rng.normal(0.0, 4.0, (40, 5, 2)), axis=0) + rng.uniform(0.0, 200.0, (5, 2))
        rows = [
            [frame + 1, track + 1, round(x, 2), round(y, 2), 40, 80, 1, 1, 1]
            for frame in range(40)
            for track, (x, y) in enumerate(ways[frame])
        ]
        write_mot(root / f"film-{seed}", rows, frames=40)
    return root


def figures(path: Path) -> dict[str, float]:
    read: dict[str, float] = json.loads(path.read_text())["figures"]
    return read


@pytest.mark.parametrize("model", ["bytetrack", "ocsort", "ridge"])
def test_without_the_bus_it_scores_what_eval_tracker_scores(folder: Path, tmp_path: Path, model: str) -> None:
    from knuckle_ros.film import FilmSource, load_film

    told = tmp_path / "told.json"
    words = [str(folder), "--fast", "--film", "film-2", "--model", model, "--seed", "3", "--json", str(told)]
    assert main(["stream", *words]) == 0
    film, got = load_film(FilmSource(str(folder), "film-2", "recipe", 0, 3)), figures(told)
    frame_s, tuned = 1.0 / film.truth.rate_hz, tuned_of(model, SHIPPED)
    made = rival(model).make(frame_s, tuned.motion, weights_of(model, SHIPPED))
    wanted = score(film.truth, follow(film.truth, film.frames, made, tuned.config(frame_s)), film.kept).scores()
    for key in ("hota", "assa", "deta", "mota", "idf1", "idsw"):
        assert got[key] == wanted[key]


@pytest.mark.timeout(300)
def test_over_the_bus_every_track_is_the_same_to_the_last_bit(folder: Path, tmp_path: Path) -> None:
    fast, live = tmp_path / "fast.json", tmp_path / "live.json"
    words = ["stream", str(folder), "--frames", "30", "--json"]
    assert main([*words, str(fast), "--fast"]) == 0
    assert main([*words, str(live), "--speed", "0.5", "--domain", str(DOMAIN)]) == 0
    one, other = figures(fast), figures(live)
    assert other["tracked"] == other["frames"] == other["forecast"] == 30
    assert other["tracks_digest"] == one["tracks_digest"]
    assert other["hota"] == one["hota"]
    # At half of 25 Hz, or slower where the machine is busy; never faster.
    assert 0.0 < other["rate_hz"] < 14.0
    assert other["tracks_latency_p50_ms"] > 0.0


def test_the_truth_itself_is_followed_without_a_switch(folder: Path, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    assert main(["stream", str(folder / "film-1"), "--fast", "--detections", "truth", "--json", str(told)]) == 0
    assert figures(told)["hota"] > 0.9


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--film", "film-9"], "no film 'film-9'"),
        (["--model", "oracle"], "oracle"),
        (["--detections", "pointrcnn"], "no detections of PointRCNN"),
        (["--speed", "0"], "out of range"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(
    folder: Path, capfd: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert main(["stream", str(folder), "--fast", *words]) == 2
    said = capfd.readouterr().err.strip()
    assert line in said
    assert "\n" not in said
    assert "Traceback" not in said


def test_help_says_that_a_folder_of_films_is_played(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["stream", "--help"])
    assert "MOT" in (said := capfd.readouterr().out)
    assert "KITTI" in said


def test_a_folder_without_films_is_not_taken_for_a_missing_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["stream", str(tmp_path), "--fast"]) == 2
    said = capfd.readouterr().err.strip()
    assert "a folder without films" in said
    assert "KITTI" in said
    assert "\n" not in said


def test_a_broken_film_is_named_with_its_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_mot(tmp_path / "broken", [[1, 1, 5, 5, 10, 20, 1, 1, 1], [2, 1, 5, 5, -10, 20, 1, 1, 1]])
    assert main(["stream", str(tmp_path / "broken"), "--fast"]) == 2
    said = capfd.readouterr().err.strip()
    assert "track 1 in frame 2" in said
    assert "\n" not in said
