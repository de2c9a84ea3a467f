"""Training: it goes on after a kill as if nothing had been, learns what can be learned, and stops when it is time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError, RunError
from knuckle.sensors.hiss.predict import mean_squared_error, outputs
from knuckle.sensors.hiss.run_folder import METRICS, RunFolder
from knuckle.sensors.hiss.train_command import learn

from .conftest import QUIET, made_parts, made_trainer, made_training, made_trial


def weights(trainer) -> np.ndarray:
    return np.concatenate([value.detach().numpy().ravel() for value in trainer.model.parameters()])


@pytest.mark.parametrize("model", ["hiss:lstm/gru", "flat:mamba"])
def test_a_run_that_ended_goes_on_to_the_same_losses_and_weights_bit_for_bit(tmp_path: Path, model: str) -> None:
    training = made_training(model, dropout="0.2", checkpoint_every="1")
    straight, losses = made_trainer(training), []
    folder = RunFolder(tmp_path / "a")
    folder.begin(training)
    learn(straight, folder, 60.0, QUIET, told=lambda row: losses.append(row["loss"]))
    assert len(losses) == 3 * 3

    again, seen = RunFolder(tmp_path / "b"), []
    again.begin(training)
    learn(made_trainer(training), again, 60.0, QUIET, updates=4, told=lambda row: seen.append(row["loss"]))
    other = made_trainer(training)
    other.model.train(False)  # whatever it was doing before
    other.model.train(True)
    learn(other, again, 60.0, QUIET, told=lambda row: seen.append(row["loss"]))
    assert seen == losses
    np.testing.assert_array_equal(weights(other), weights(straight))
    assert other.best_mse == straight.best_mse


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_command_goes_on_to_the_same_figures(tmp_path: Path, table_folder: Path) -> None:
    words = ["train", "hiss", "--task", "table", "--data", str(table_folder), "--inputs", "a,b", "--targets", "x,y"]
    sizes = "width=8,layers=1,high_width=8,high_layers=1,window_s=2,batch=2,checkpoint_every=2,"

    def command(run: str, epochs: int) -> list[str]:
        run_words = ["--run", str(tmp_path / run), "--set", f"{sizes}epochs={epochs},patience=1000"]
        return [sys.executable, "-m", "knuckle.cli", *words, *run_words]

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(command("a", 12), env=environment, stdout=subprocess.DEVNULL)
    metrics, end = tmp_path / "a" / METRICS, time.monotonic() + 300.0
    while time.monotonic() < end and not (metrics.is_file() and metrics.read_text().count("\n") >= 2):
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for run in ("a", "b"):
        subprocess.run(command(run, 12), env=environment, check=True, stdout=subprocess.DEVNULL)
    rows = {run: [json.loads(line) for line in (tmp_path / run / METRICS).read_text().splitlines()] for run in "ab"}
    names = ("epoch", "updates", "loss", "validation_mse")
    assert len(rows["b"]) == 12
    assert [[row[n] for n in names] for row in rows["a"]] == [[row[n] for n in names] for row in rows["b"]]


@pytest.mark.parametrize("model", ["hiss:gru/gru", "flat:gru"])
def test_it_learns_a_leaky_sum_down_to_near_its_noise(model: str) -> None:
    parts = made_parts()
    trainer = made_trainer(made_training(model, epochs="60", rate="0.01", patience="60", width="16"), parts)
    while not trainer.over:
        trainer.update()
    trainer.restore_best()
    raws = outputs(trainer.model, trainer.validation)
    error = mean_squared_error(raws, trainer.validation, trainer.targets)
    variance = np.mean([np.var(trial.targets, axis=0) for trial in parts.validation])
    assert error == pytest.approx(trainer.best_mse, rel=1e-5)
    assert error < 0.1 * variance


def test_training_ends_when_the_validation_error_has_not_fallen_for_long_enough() -> None:
    trainer = made_trainer(made_training(epochs="50", patience="2", rate="0.000001"))
    trainer.best_mse, trainer.best_epoch = 0.0, 1  # nothing will be better than this
    while not trainer.over:
        trainer.update()
    assert trainer.epoch == 3


def test_a_smaller_share_of_many_trials_is_part_of_a_larger_one() -> None:
    parts = replace(made_parts(), train=tuple(made_trial(k, 40) for k in range(60)))
    shares = [made_trainer(made_training(data_share=share), parts).trials for share in ("0.1", "0.3", "1")]
    names = [{trial.name for trial in trials} for trials in shares]
    assert [len(n) for n in names] == [6, 18, 60]
    assert names[0] < names[1] < names[2]


def test_a_share_of_few_trials_is_a_stretch_of_each() -> None:
    shares = [made_trainer(made_training(data_share=share)).trials for share in ("0.1", "0.5", "1")]
    for small, large, whole in zip(*shares, strict=True):
        assert (len(small), len(large), len(whole)) == (40, 200, 400)
        rows = [{tuple(row) for row in trial.inputs.tolist()} for trial in (small, large, whole)]
        assert rows[0] < rows[1] < rows[2]


def test_what_a_kernel_wishes_of_its_rate_is_kept() -> None:
    trainer = made_trainer(made_training("flat:s4d", rate="0.01", weight_decay="0.1"))
    groups = {group["weight_decay"]: group for group in trainer.optimiser.param_groups}
    assert set(groups) == {0.0, 0.1}
    names = {name for name, p in trainer.model.named_parameters() if any(p is q for q in groups[0.0]["params"])}
    assert names and all("kernel" in name for name in names)
    trainer.update()
    again = made_trainer(trainer.training)
    again.restore(*trainer.capture(), where="here")
    assert again.update()["loss"] == trainer.update()["loss"]


def test_as_released_a_hierarchy_sees_180_ms_more_than_its_rivals_and_matched_the_same() -> None:
    models, kinds = ("hiss:lstm/gru", "flat:lstm"), ("released", "matched")
    assert [[made_training(m, indexing=k).look_ahead for m in models] for k in kinds] == [[9, 0], [0, 0]]
    assert made_training("flat:lstm", look_ahead="9").look_ahead == 9


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line() -> None:
    trainer = made_trainer(made_training())
    for value in trainer.model.parameters():
        value.data.fill_(float("nan"))
    with pytest.raises(RunError, match="the loss is nan at update 1; a lower rate"):
        trainer.update()


def test_a_run_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(made_training())
    with pytest.raises(InputError, match=r"the run here has learn\.batch 4, not 8"):
        folder.require_same(made_training(batch="8"))


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    trainer = made_trainer(made_training())
    trainer.update()
    other = made_trainer(made_training("flat:gru"))
    with pytest.raises(InputError, match="the checkpoint does not fit"):
        other.restore(*trainer.capture(), where="here")
