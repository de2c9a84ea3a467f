"""A covariance that is mended on kinds of motion that were left out in turn, and not on the validation part alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.cli import main
from knuckle.core.errors import InputError
from knuckle.sensors.hiss.coverage import coverage
from knuckle.sensors.hiss.finish import leave_model
from knuckle.sensors.hiss.left_out import misses, misses_left_out
from knuckle.sensors.hiss.model_card import read_card
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.spread import Misses, Spread, widest_spread
from knuckle.sensors.hiss.tasks import open_task
from knuckle.sensors.hiss.trial import Trial

from .conftest import QUIET, made_parts, made_trainer, made_training, made_trial

TABLE = {"inputs": "a,b", "targets": "x,y"}


def test_the_widest_kind_is_covered_as_promised_and_all_others_more() -> None:
    rng = np.random.default_rng(0)
    groups = {
        name: Misses(factor**2 * rng.chisquare(3, 4000), rng.uniform(0.0, 2.0, 4000))
        for name, factor in {"a": 0.7, "b": 2.0, "c": 1.2}.items()
    }
    group, spread = widest_spread({**groups, "still": Misses(np.zeros(0), np.zeros(0))}, 3)
    assert group == "b" and spread.temperature == pytest.approx(2.0, rel=0.05)
    for name, own in groups.items():
        covered = coverage(spread.distances(own), 3)
        assert covered[0.9] > (0.88 if name == "b" else 0.97)


def test_misses_that_grow_with_the_estimate_are_told_from_kinds_that_are_just_worse() -> None:
    rng = np.random.default_rng(2)
    true = Spread(1.1, 2.5)
    groups = {}
    for name, size in {"slow": 0.3, "middling": 2.0, "fast": 8.0}.items():
        sizes = size * rng.uniform(0.5, 1.5, 4000)
        widened = np.square(true.factor(sizes[:, None]))
        groups[name] = Misses(widened * rng.chisquare(3, 4000), sizes)
    _, spread = widest_spread(groups, 3)
    assert spread.growth == pytest.approx(2.5, rel=0.1) and spread.temperature == pytest.approx(1.1, rel=0.1)
    for own in groups.values():
        covered = coverage(spread.distances(own), 3)
        assert covered[0.5] == pytest.approx(0.5, abs=0.05) and covered[0.9] == pytest.approx(0.9, abs=0.03)


@given(st.floats(0.01, 100.0), st.floats(0.1, 100.0), st.floats(0.0, 50.0))
def test_a_spread_widens_regions_by_the_square_of_its_factor(temperature: float, growth: float, size: float) -> None:
    spread = Spread(temperature, growth)
    mean = np.array([0.6, -0.8]) * size
    misses = Misses(np.array([7.0]), np.array([size]))
    np.testing.assert_allclose(spread.distances(misses) * spread.factor(mean) ** 2, 7.0, rtol=1e-9)


def test_nothing_to_judge_by_is_refused() -> None:
    with pytest.raises(InputError, match="no target is scored"):
        widest_spread({"still": Misses(np.zeros(0), np.zeros(0))}, 3)


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
    left_out = misses_left_out(training, task, parts, 2, folder, QUIET)
    assert set(left_out) == {"kind 0", "kind 1", "wild"}
    spreads = []
    for told in (None, left_out):
        leave_model(trainer, folder, task, parts, QUIET, told)
        spreads.append(read_card(tmp_path / MODEL).spread)
    kinds = {"validation": misses(trainer, parts.validation), **left_out}
    assert widest_spread(kinds, 2) == ("wild", spreads[1])
    assert spreads[1].temperature > 1.2 * spreads[0].temperature
    scores = read_card(tmp_path / MODEL).card.scores
    assert scores["validation"]["coverage_90"] > scores["left out wild"]["coverage_90"] > 0.75
    # What was trained once is not trained again.
    again = misses_left_out(training, task, parts, 2, folder, QUIET)
    for name, own in left_out.items():
        np.testing.assert_array_equal(own.squared, again[name].squared)


def test_with_one_kind_alone_there_is_nothing_to_leave_out_and_nothing_begins(
    tmp_path: Path, table_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "table", "--data", str(table_folder), "--inputs", "a,b", "--targets", "x,y", "--left_out", "2"]
    assert main(["train", "hiss", *words, "--run", str(tmp_path / "run")]) == 2
    assert "one group alone teaches: train" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
