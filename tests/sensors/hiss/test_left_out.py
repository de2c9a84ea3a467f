"""A covariance that is mended on kinds of motion that were left out in turn, and not on the validation part alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knuckle.cli import main
from knuckle.core.errors import InputError
from knuckle.sensors.hiss.coverage import coverage
from knuckle.sensors.hiss.finish import leave_model
from knuckle.sensors.hiss.left_out import distances_left_out, widest
from knuckle.sensors.hiss.model_card import read_card
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.tasks import open_task
from knuckle.sensors.hiss.trial import Trial

from .conftest import QUIET, made_parts, made_trainer, made_training, made_trial

TABLE = {"inputs": "a,b", "targets": "x,y"}


def test_the_widest_kind_is_covered_as_promised_and_all_others_more() -> None:
    rng = np.random.default_rng(0)
    squared = {name: factor**2 * rng.chisquare(3, 4000) for name, factor in {"a": 0.7, "b": 2.0, "c": 1.2}.items()}
    group, temperature = widest({**squared, "still": np.zeros(0)}, 3)
    assert group == "b" and temperature == pytest.approx(2.0, rel=0.05)
    for name, own in squared.items():
        covered = coverage(own, 3, temperature)
        assert covered[0.9] > (0.88 if name == "b" else 0.97)


def test_nothing_to_judge_by_is_refused() -> None:
    with pytest.raises(InputError, match="no target is scored"):
        widest({"still": np.zeros(0)}, 3)


def of_kinds() -> Parts:
    """A third kind of motion whose targets are wilder than all that the others tell."""
    parts = made_parts(4)
    quiet = tuple(
        replace(t, group=f"kind {k % 2}", name=f"{t.name} of kind {k % 2}") for k, t in enumerate(parts.train)
    )
    wild = made_trial(50, group="wild")
    noise = np.random.default_rng(1).standard_normal(wild.targets.shape)
    return replace(parts, train=(*quiet, Trial("wild", "wild", wild.inputs, wild.targets + noise, wild.scored)))


def test_a_kind_that_no_other_tells_of_widens_the_covariance_and_the_card_says_what_covers_what(tmp_path: Path) -> None:
    training, parts, task = made_training(), of_kinds(), open_task("table", TABLE)
    trainer, folder = made_trainer(training, parts), RunFolder(tmp_path)
    while not trainer.over:
        trainer.update()
    left_out = distances_left_out(training, task, parts, 2, folder, QUIET)
    assert set(left_out) == {"kind 0", "kind 1", "wild"}
    temperatures = []
    for given in (None, left_out):
        leave_model(trainer, folder, task, parts, QUIET, given)
        temperatures.append(read_card(tmp_path / MODEL).temperature)
    assert temperatures[1] == widest({"wild": left_out["wild"]}, 2)[1] > 1.2 * temperatures[0]
    scores = read_card(tmp_path / MODEL).card.scores
    assert scores["validation"]["coverage_90"] > scores["left out wild"]["coverage_90"] > 0.75
    # What was trained once is not trained again.
    again = distances_left_out(training, task, parts, 2, folder, QUIET)
    for name, own in left_out.items():
        np.testing.assert_array_equal(own, again[name])


def test_with_one_kind_alone_there_is_nothing_to_leave_out_and_nothing_begins(
    tmp_path: Path, table_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "table", "--data", str(table_folder), "--inputs", "a,b", "--targets", "x,y", "--left_out", "2"]
    assert main(["train", "hiss", *words, "--run", str(tmp_path / "run")]) == 2
    assert "one group alone teaches: train" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
