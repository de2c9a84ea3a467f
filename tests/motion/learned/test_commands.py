"""``knuckle train forecast`` and ``knuckle eval forecast`` from end to end, and the model on the bus's side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from knuckle.core.errors import InputError
from knuckle.motion.learned.agent_frame import read_agents
from knuckle.motion.learned.eval_command import eval_forecast
from knuckle.motion.learned.model_files import load_net
from knuckle.motion.learned.run_folder import RunFolder
from knuckle.motion.learned.train_command import train_forecast
from knuckle.motion.learned_forecaster import LearnedForecaster, resample

SMALL = ["--vehicles", "20", "--set", "updates=30,begin=10,batch=16,width=16,check_every=10,every=20"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was paused and then ended."""
    folder = tmp_path_factory.mktemp("forecast") / "run"
    words = ["--run", str(folder), *SMALL]
    assert train_forecast([*words, "--minutes", "1e-5"]) == 0
    assert not (folder / "model").exists()
    assert train_forecast(words) == 0
    return folder


def history(rows: int = 11, dt: float = 0.1) -> np.ndarray:
    t = dt * np.arange(1 - rows, 1)
    straight = np.stack([8.0 * t + 100.0, 1.0 * t], -1)
    bend = np.stack([30 * np.sin(0.2 * t), 30 - 30 * np.cos(0.2 * t)], -1)
    return np.stack([straight, bend])


def test_a_run_leaves_a_model_that_forecasts_without_torch_what_its_network_does(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["updates"] for row in rows] == [10, 20, 30]
    made = LearnedForecaster(run).forecast(history(), 0.1)
    net, card = load_net(run)
    agents, features = read_agents(history(), 0.1)
    with torch.no_grad():
        mixture = net(torch.from_numpy(features), torch.from_numpy(agents.speed.astype(np.float32))).mixture
    assert np.allclose(made.mean, agents.out(mixture.mean.double().numpy()), atol=1e-3)
    covariance = agents.out_covariance(mixture.covariance.double().numpy())
    assert np.allclose(made.covariance, covariance, rtol=1e-3, atol=1e-4)
    assert np.allclose(made.probability, mixture.log_weights.softmax(-1).numpy(), atol=1e-5)
    assert card.licence == "Apache-2.0" and card.config["form"] == "curved" and card.config["onnx_parity"] < 2e-4
    code = (
        "import sys; sys.modules['torch'] = None; import numpy as np; "
        "from knuckle.motion.learned_forecaster import LearnedForecaster as L; "
        f"print(L({str(run)!r}).forecast(np.zeros((3, 4, 4)), 0.1).mean.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=False)
    assert done.stdout.strip() == "(3, 6, 30, 2)", done.stderr


def test_a_forecast_at_another_rate_or_with_rows_missing_is_nearly_the_same(run: Path) -> None:
    forecaster = LearnedForecaster(run)
    wanted = forecaster.forecast(history(), 0.1)
    fast = forecaster.forecast(history(31, 1 / 30), 1 / 30)
    holed = history()
    holed[:, [2, 6]] = np.nan
    for other in (fast, forecaster.forecast(holed, 0.1)):
        assert np.abs(other.mean - wanted.mean).max() < 0.5
    assert len(forecaster.forecast(np.zeros((0, 5, 2)), 0.1)) == 0
    assert np.isfinite(forecaster.forecast(np.ones((1, 1, 2)), 0.1).mean).all()
    with pytest.raises(InputError, match="on a plane"):
        forecaster.forecast(np.zeros((1, 5, 3)), 0.1)


def test_resampling_goes_straight_between_and_beyond_what_was_seen() -> None:
    seen = np.array([[[0.0, 0.0], [np.nan, np.nan], [2.0, 4.0]]])
    out = resample(seen, np.array([0.1, 0.1]), 5, 0.1)
    assert np.allclose(out[0], [[-2, -4], [-1, -2], [0, 0], [1, 2], [2, 4]])


def test_altered_files_are_refused(run: Path, tmp_path: Path) -> None:
    for name in ("forecast.json", "forecast.onnx", "forecast.safetensors"):
        (tmp_path / name).write_bytes((run / "model" / name).read_bytes())
    (tmp_path / "forecast.onnx").write_bytes(b"something else")
    with pytest.raises(InputError, match="not the card's"):
        LearnedForecaster(tmp_path)
    (tmp_path / "forecast.safetensors").write_bytes(b"something else")
    with pytest.raises(InputError, match="do not match"):
        load_net(tmp_path)
    with pytest.raises(InputError, match="no forecaster of this name"):
        LearnedForecaster("nobody")


def test_models_are_scored_beside_the_closed_form(run: Path, tmp_path: Path) -> None:
    words = ["--models", f"{run}+closed", "--vehicles", "20", "--json", str(tmp_path / "f.json")]
    assert eval_forecast([*words, "--plot", str(tmp_path / "f.svg")]) == 0
    told = json.loads((tmp_path / "f.json").read_text())
    figures, intervals = told["figures"], told["intervals"]
    assert figures["infeasible_run"] == 0.0 and 0.0 < figures["coverage_90_closed"] <= 1.0
    low, high = intervals["nll_gain_over_closed"]
    assert low <= figures["nll_gain_over_closed"] <= high
    assert figures["nll_gain_over_closed"] == pytest.approx(figures["nll_closed"] - figures["nll_run"])
    picture = (tmp_path / "f.svg").read_text()
    assert picture.count("<g ") == 6 and picture.endswith("</svg>\n")


def test_heads_are_compared_on_shares_from_the_same_draws(tmp_path: Path) -> None:
    words = ["--shares", "0.1+1", "--heads", "acceleration+learned", "--seeds", "2", *SMALL, "--vehicles", "40"]
    assert eval_forecast([*words, "--json", str(tmp_path / "f.json")]) == 0
    told = json.loads((tmp_path / "f.json").read_text())
    figures = told["figures"]
    for share in ("0p1", "1"):
        gain = figures[f"nll_learned_{share}"] - figures[f"nll_acceleration_{share}"]
        assert figures[f"nll_gain_acceleration_{share}"] == pytest.approx(gain)
        low, high = told["intervals"][f"nll_gain_acceleration_{share}"]
        assert low <= gain <= high
    assert "overhead_acceleration" in figures


@pytest.mark.parametrize(
    ("call", "words", "line"),
    [
        (train_forecast, ["--head", "wheel"], "wheel"),
        (train_forecast, ["--set", "updtes=3"], "updtes"),
        (train_forecast, ["--set", "updates=0"], "out of range"),
        (train_forecast, ["--data", "nowhere"], "no such folder"),
        (train_forecast, ["--vehicles", "20", "--test", "simulated-9-0"], "no window of a sequence"),
        (eval_forecast, ["--shares", "0.1+x"], "--shares"),
        (eval_forecast, ["--shares", "2"], "shares from"),
        (eval_forecast, ["--models", "nobody"], "no forecaster"),
    ],
)
def test_bad_words_end_in_one_line_and_leave_nothing(
    call: object, words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=line) as caught:
        call(words)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_run_is_not_gone_on_with_otherwise_or_twice_at_once(run: Path) -> None:
    with pytest.raises(InputError, match="the run here has seed 0, not 1"):
        train_forecast(["--run", str(run), *SMALL, "--seed", "1"])
    held = RunFolder(run)
    held.begin(json.loads((run / "run.json").read_text()))
    with pytest.raises(InputError, match="another process trains here"):
        RunFolder(run).begin(json.loads((run / "run.json").read_text()))
