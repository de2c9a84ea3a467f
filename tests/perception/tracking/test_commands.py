"""The two commands: what they write can be used again, and what they cannot use they refuse in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knuckle.cli import main
from knuckle.core.errors import InputError
from knuckle.perception.tracking.eval_command import eval_tracker
from knuckle.perception.tracking.evaluation import tuned_of
from knuckle.perception.tracking.rivals import RIVALS, defaults, rival, weights_of
from knuckle.perception.tracking.train_command import train_tracker
from knuckle.perception.tracking.tuned_settings import untuned
from knuckle.perception.tracking.weights_folder import SHIPPED
from tests.perception.tracking.films import write_mot

TINY = ["--simulated", "2", "--frames", "60", "--tune-frames", "20", "--tune-films", "1"]
SMALL = (
    "fit.updates=4,fit.round=2,fit.batch=8,mtp.width=8,mtp.layers=1,trackssm.width=8,trackssm.encoder=1,"
    "link.updates=20,link.frames=20,link.batch=64"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every part, as small as it can be."""
    pytest.importorskip("torch")
    run = tmp_path_factory.mktemp("run")
    words = [
        "--data",
        "simulated-players",
        "--run",
        str(run),
        "--set",
        SMALL,
        "--models",
        "last+ridge+mtp+ridge-link",
        *TINY,
    ]
    assert train_tracker(words) == 0
    return run


def test_a_run_leaves_weights_with_cards_and_tuned_settings_that_evaluation_takes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = trained / "weights"
    assert json.loads((weights / "mtp.json").read_text())["licence"] == "Apache-2.0"
    assert set(json.loads((weights / "tuned.json").read_text())["models"]) == {"last", "ridge", "mtp", "ridge-link"}
    words = ["--data", "simulated-players", "--weights", str(weights), "--frames", "40", "--seeds", "2"]
    names = "last+ridge+mtp+trackssm+ridge-link"
    assert (
        eval_tracker([*words, "--models", names, "--json", str(tmp_path / "f.json"), "--plot", str(tmp_path / "p.svg")])
        == 0
    )
    figures = json.loads((tmp_path / "f.json").read_text())
    for name in names.replace("-", "_").split("+"):
        low, high = figures["intervals"][f"hota_{name}"]
        assert 0.0 <= low <= figures["figures"][f"hota_{name}"] <= high <= 1.0
        assert f"assa_{name}" in figures["figures"] and f"idsw_{name}" in figures["figures"]
    assert "hota_mtp_over_ridge" in figures["intervals"]
    assert figures["config"]["detections_sha256"] in capsys.readouterr().out
    assert (tmp_path / "p.svg").read_text().startswith("<svg")


def test_every_setting_of_a_learned_model_is_tried_as_often_as_the_linear_maps_where_asked(
    trained: Path, tmp_path: Path
) -> None:
    words = ["--data", "simulated-players", "--weights", str(trained / "weights"), "--run", str(tmp_path), *TINY]
    assert train_tracker([*words, "--parts", "tuned", "--models", "ridge+mtp", "--tune-all"]) == 0
    models = json.loads((tmp_path / "weights" / "tuned.json").read_text())["models"]
    assert models["mtp"]["tried"] == models["ridge"]["tried"] > 20


def test_folders_of_several_trainings_count_as_one_sample_of_each_model(trained: Path, tmp_path: Path) -> None:
    words = ["--data", "simulated-players", "--frames", "30", "--seeds", "1", "--models", "last+ridge"]
    own, shipped = str(trained / "weights"), str(SHIPPED)
    told = []
    for k, folders in enumerate((own, shipped, f"{own}+{own}", f"{own}+{shipped}")):
        assert eval_tracker([*words, "--weights", folders, "--json", str(tmp_path / f"{k}.json")]) == 0
        told.append(json.loads((tmp_path / f"{k}.json").read_text()))
    one, other, twice, both = (one["figures"]["hota_ridge"] for one in told)
    assert one != other
    assert twice == pytest.approx(one)
    assert min(one, other) < both < max(one, other)
    assert [one["n"] for one in told] == [60, 60, 120, 120]
    # Paired over trainings: the same model twice differs by nothing from itself.
    assert told[2]["intervals"]["hota_last_over_ridge"] == pytest.approx(told[0]["intervals"]["hota_last_over_ridge"])


def test_the_same_command_goes_on_and_another_setting_is_refused(trained: Path) -> None:
    words = ["--data", "simulated-players", "--run", str(trained), *TINY, "--parts", "ridge"]
    assert train_tracker([*words, "--set", SMALL]) == 0
    with pytest.raises(InputError, match="the run here has networks"):
        train_tracker([*words, "--set", "fit.updates=9"])
    with pytest.raises(InputError, match="the run here has data simulated-players"):
        train_tracker(["--data", "simulated", "--run", str(trained), "--set", SMALL, *TINY])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "sorts"], "unknown model 'sorts'; did you mean 'sort'"),
        (["--models", "sorts-link"], "unknown model 'sorts'; did you mean 'sort'"),
        (["--data", "nowhere"], "no films"),
        (["--data", "simulated-player"], "did you mean 'players'"),
        (["--films", "players-7"], "unknown film 'players-7'"),
        (["--weights", "nowhere", "--models", "ridge"], "no usable weights of 'ridge'"),
        (["--detections", "pointrcnn"], "no detections of PointRCNN"),
        (["--seeds", "0"], "out of range"),
    ],
)
def test_evaluation_refuses_what_it_cannot_use_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "tracker", "--frames", "20", "--seeds", "1", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts", "rigde"], "unknown part 'rigde'; did you mean 'ridge'"),
        (["--set", "fit.update=3"], "unknown setting"),
        (["--set", "fit.updates=0"], "out of range"),
        (["--data", "nowhere"], "no films"),
    ],
)
def test_training_refuses_what_it_cannot_use_in_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "tracker", "--run", str(tmp_path / "run"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_films_whose_tracks_are_all_too_short_to_learn_from_are_named(tmp_path: Path) -> None:
    write_mot(tmp_path / "films" / "a", [[1, 1, 10, 20, 30, 40, 1, 1, 1]])
    with pytest.raises(InputError, match="no track is seen for 30 frames in a row"):
        train_tracker(["--data", str(tmp_path / "films"), "--run", str(tmp_path / "run"), "--parts", "ridge"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw["models"]["last"].pop("tracker"), "incomplete"),
        (lambda raw: raw["models"]["last"]["tracker"].update(high=7.0), "out of range"),
        (lambda raw: raw["models"]["last"]["tracker"].update(hihg=0.5), "unknown key"),
        (lambda raw: raw["models"]["last"]["motion"].update(spraed=0.5), "no setting 'spraed'"),
    ],
)
def test_tuned_settings_that_are_not_right_are_refused(tmp_path: Path, change: Any, said: str) -> None:
    one = {"tracker": {"high": 0.5}, "motion": {}, "hota": 0.5, "cpu_s": 1.0, "tried": 1}
    raw: Any = {"models": {"last": one}}
    (tmp_path / "tuned.json").write_text(json.dumps(raw))
    assert tuned_of("last", tmp_path).config(0.04).high == 0.5
    change(raw)
    (tmp_path / "tuned.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=said):
        tuned_of("last", tmp_path)


def test_learned_association_has_the_settings_of_its_model_where_it_has_none_of_its_own(tmp_path: Path) -> None:
    one = {
        "tracker": {"high": 0.45, "memory": 99.0, "momentum": 0.2},
        "motion": {},
        "hota": 0.5,
        "cpu_s": 1,
        "tried": 1,
    }
    (tmp_path / "tuned.json").write_text(json.dumps({"models": {"ocsort": one}}))
    tuned = tuned_of("ocsort-link", tmp_path)
    assert tuned.tracker["high"] == 0.45 and tuned.tracker["link"] == untuned("ocsort-link").tracker["link"]
    assert tuned.tracker["memory"] == untuned("ocsort-link").tracker["memory"] and "momentum" not in tuned.tracker
    assert tuned_of("sort-link", tmp_path) == untuned("sort-link")


def test_weights_that_were_changed_are_refused(trained: Path, tmp_path: Path) -> None:
    for suffix in ("json", "safetensors"):
        data = (trained / "weights" / f"mtp.{suffix}").read_bytes()
        (tmp_path / f"mtp.{suffix}").write_bytes(data)
    assert weights_of("mtp", tmp_path)
    (tmp_path / "mtp.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="do not match"):
        weights_of("mtp", tmp_path)


@pytest.mark.parametrize("name", [*RIVALS, "bytetrack-link", "mtp-link"])
def test_every_model_that_comes_along_works_with_its_tuned_settings(name: str) -> None:
    tuned = tuned_of(name, SHIPPED)
    assert tuned != untuned(name) and set(tuned.motion) == set(defaults(name))
    model = rival(name).make(0.04, tuned.motion, weights_of(name, SHIPPED))
    assert model.rows >= 1 and tuned.config(0.04)
