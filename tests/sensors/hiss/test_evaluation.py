"""Evaluation: figures against sums by hand, intervals that hold the truth, coverage mended, and the three lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from knuckle.cli import main
from knuckle.core.errors import InputError
from knuckle.sensors.hiss import gaussian
from knuckle.sensors.hiss.bootstrap import intervals, units_of
from knuckle.sensors.hiss.coverage import coverage, temperature_of
from knuckle.sensors.hiss.evaluate import choose
from knuckle.sensors.hiss.gaussian_factors import distances, factors, outputs_of, targets_of
from knuckle.sensors.hiss.pieces import Epoch, cut, target_grid, whole
from knuckle.sensors.hiss.splits import STROKES
from knuckle.sensors.hiss.streaming import open_stream
from knuckle.sensors.hiss.trace_plot import trace_plot
from knuckle.sensors.hiss.trial import Trial

from .conftest import made_trial


def test_the_loss_of_a_covariance_is_the_gaussian_likelihood() -> None:
    rng = np.random.default_rng(0)
    raw, target = rng.standard_normal((2, 5, outputs_of(3))), rng.standard_normal((2, 5, 3))
    known = rng.random((2, 5)) < 0.7
    square, nll = gaussian.losses(torch.from_numpy(raw), torch.from_numpy(target), torch.from_numpy(known))
    mean, lower = factors(raw)
    residual, n = (target - mean)[known], known.sum()
    assert float(square) == pytest.approx(np.square(residual).mean())
    normal = torch.distributions.MultivariateNormal(
        torch.from_numpy(mean[known]), scale_tril=torch.from_numpy(lower[known])
    )
    assert float(nll) == pytest.approx(-float(normal.log_prob(torch.from_numpy(target[known])).sum()) / (3 * n))
    precision = np.linalg.inv(lower @ np.swapaxes(lower, -1, -2))[known]
    np.testing.assert_allclose(
        distances(raw[known], target[known]), np.einsum("ni,nij,nj->n", residual, precision, residual)
    )
    assert [targets_of(outputs_of(t)) for t in range(1, 12)] == list(range(1, 12))


def test_the_covariance_does_not_move_the_mean() -> None:
    raw = torch.zeros(1, 4, outputs_of(2), requires_grad=True)
    _, nll = gaussian.losses(raw, torch.full((1, 4, 2), 2.0), torch.ones(1, 4, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(nll, raw)
    assert not gradient[..., :2].any()
    assert gradient[..., 2:4].all()


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_a_temperature_mends_coverage(factor: float) -> None:
    squared = factor**2 * np.random.default_rng(0).chisquare(3, 20_000)
    assert temperature_of(squared, 3) == pytest.approx(factor, rel=0.02)
    mended = coverage(squared / temperature_of(squared, 3) ** 2, 3)
    assert mended[0.5] == pytest.approx(0.5, abs=0.02)
    assert mended[0.9] == pytest.approx(0.9, abs=0.02)
    assert coverage(np.full(4, chi2.ppf(0.7, 3)), 3) == {0.5: 0.0, 0.9: 1.0}


def test_intervals_hold_the_mean_and_see_a_paired_difference() -> None:
    rng = np.random.default_rng(1)
    hard = [rng.exponential(1.0, (50, 2)) * rng.exponential(3.0) for _ in range(40)]
    units = units_of([[0.8 * e for e in hard], hard])
    bounds, ratios = intervals(units, np.random.default_rng(0))
    assert units.kind == "trials"
    mean = float(np.mean(np.concatenate(hard)))
    assert bounds[1, 0] < mean < bounds[1, 1]
    np.testing.assert_allclose(ratios, [[1.0, 1.0], [0.8, 0.8]])
    assert bounds[0, 1] > bounds[1, 0]  # which the unpaired intervals do not see
    few = units_of([hard[:3]])
    assert few.kind == "blocks of 20 s" and few.counts.sum() == 300
    alone, _ = intervals(units_of([[hard[0]]]), np.random.default_rng(0))
    assert np.isnan(alone).all()


def ramp(samples: int, known: slice) -> Trial:
    """Input i and target i at sample i."""
    rows = np.arange(samples, dtype=np.float64)[:, None]
    targets = np.full((samples, 1), np.nan)
    targets[known] = rows[known]
    return Trial("ramp", "train", rows, targets, np.isfinite(targets[:, 0]))


@pytest.mark.parametrize("look_ahead", [0, 9])
@pytest.mark.parametrize("known", [slice(None), slice(9, None, 10), slice(4, None, 10)])
def test_an_output_sees_the_input_up_to_its_target_and_the_look_ahead_alone(known: slice, look_ahead: int) -> None:
    trial = ramp(97, known)
    piece = whole(trial, trial.inputs.astype(np.float32), look_ahead)
    ends = piece.features[9::10, 0]
    assert piece.known.all() and len(piece.known) >= 8
    np.testing.assert_array_equal(ends, piece.targets[:, 0] + look_ahead)


def test_pieces_of_an_epoch_meet_targets_and_cover_the_trial() -> None:
    trial = ramp(1000, slice(9, None, 10))
    assert target_grid(trial) == (0, 10)
    read = lambda t: t.inputs.astype(np.float32)  # noqa: E731
    rng = np.random.default_rng(0)
    epoch = Epoch([trial], read, chunks=12, batch=3, look_ahead=0, rng=rng, augment=None)
    rows = [epoch[k] for k in range(len(epoch))]
    assert sum(len(b.known) for b in rows) == 8
    assert all(b.known.all() for b in rows)
    seen = np.concatenate([b.targets.ravel() for b in rows])
    assert np.ptp(seen) > 500
    short = cut(trial, read(trial), 990, 12, 0)
    assert len(short.known) == 1


def test_the_first_and_the_unseen_trials_are_told_apart() -> None:
    trials = [made_trial(0), made_trial(1, group="validation"), made_trial(2, group="test")]
    seen = frozenset({"train 0", "validation 1"})
    assert [t.name for t in choose(trials, "unseen", STROKES, seen, where="")] == ["test 2"]
    assert [t.name for t in choose(trials, "validation", STROKES, seen, where="")] == ["validation 1"]
    assert len(choose(trials, "all", STROKES, seen, where="")) == 3
    with pytest.raises(InputError, match="no trials of the part unseen"):
        choose(trials[:2], "unseen", STROKES, seen, where="")


def test_three_lines_take_a_users_file_to_a_model_that_streams(
    table_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = "width=8,layers=1,high_width=8,high_layers=1,window_s=2,epochs=2"
    for model, run in (("hiss:gru/gru", "a"), ("flat:gru", "b")):
        words = ["train", "hiss", "--task", "table", "--data", str(table_folder), "--model", model]
        words += ["--inputs", "a,b", "--targets", "x,y", "--run", str(tmp_path / run), "--set", sizes]
        assert main(words) == 0
    figures = tmp_path / "figures.json"
    words = ["eval", "hiss", "--task", "table", "--data", str(table_folder), "--json", str(figures)]
    words += ["--linear-s", "0.6", "--model", f"{tmp_path / 'a'}+{tmp_path / 'b'}", "--plots", str(tmp_path / "plots")]
    assert main(words) == 0
    found = json.loads(figures.read_text())
    assert found["n"] == 1
    assert {"mse", "rmse_x", "rmse_y", "coverage_50", "coverage_90", "mse_b", "mse_ratio_to_b"} <= set(found["figures"])
    assert found["figures"]["mse_linear"] < 0.3 * found["figures"]["mean_estimate_mse"]  # it is a linear sensor
    assert found["intervals"] == {}  # of one block there is none
    assert found["figures"]["mse_ratio_to_b"] == pytest.approx(found["figures"]["mse"] / found["figures"]["mse_b"])
    assert next((tmp_path / "plots").glob("*.svg")).read_text().startswith("<svg")
    stream = open_stream(tmp_path / "a" / "model")
    assert stream.push(0, np.zeros(2)) is None


def test_a_plot_shows_every_target_and_leaves_out_what_is_not_known() -> None:
    truth = np.array([[0.0, 1.0], [np.nan, np.nan], [1.0, 2.0], [2.0, 1.0]])
    picture = trace_plot("a < b", ["vx", "vy"], np.arange(4.0), np.zeros((4, 2)), np.ones((4, 2)), truth)
    assert "a &lt; b" in picture and ">vx<" in picture and ">vy<" in picture
    assert "nan" not in picture
