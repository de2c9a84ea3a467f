"""A sensor that can be made in any number: two channels, of which a leaky sum is to be known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.signal import lfilter

from knuckle.core.cards import Entry
from knuckle.sensors.hiss.features import FeatureConfig
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.train_config import LearnConfig, ModelConfig, Training, changed
from knuckle.sensors.hiss.trainer import Trainer
from knuckle.sensors.hiss.trial import Channels, Trial

CHANNELS = Channels(
    (Entry("a", (), "V"), Entry("b", (), "V")), (Entry("x", (), "m"), Entry("y", (), "m")), rate_hz=50.0
)
QUIET = Console(quiet=True)


def made_trial(seed: int, samples: int = 400, group: str = "train") -> Trial:
    """Smooth noise in, two leaky sums of it out, with noise that nobody can know."""
    rng = np.random.default_rng(seed)
    inputs = lfilter([0.3], [1.0, -0.7], rng.standard_normal((samples, 2)), axis=0)
    sums = lfilter([0.2], [1.0, -0.9], inputs, axis=0)
    targets = np.stack([sums[:, 0] - sums[:, 1], 2.0 * sums[:, 1] + 1.0], axis=1)
    targets += 0.05 * rng.standard_normal((samples, 2))
    return Trial(f"{group} {seed}", group, inputs, targets, np.ones(samples, dtype=np.bool_))


def made_parts(trials: int = 6) -> Parts:
    return Parts(
        train=tuple(made_trial(k) for k in range(trials)),
        validation=tuple(made_trial(100 + k, 405, "validation") for k in range(2)),
        test=(made_trial(200, 400, "test"),),
    )


def made_training(model: str = "hiss:lstm/lstm", seed: int = 3, **settings: str) -> Training:
    training = Training(
        task={"name": "table", "inputs": "a,b", "targets": "x,y", "time": "t", "rate": "50"},
        model=model,
        sizes=ModelConfig(width=8, layers=1, high_width=8, high_layers=1),
        features=FeatureConfig(),
        learn=LearnConfig(window_s=4.0, batch=4, epochs=3),
        seed=seed,
    )
    return changed(training, settings)


def made_trainer(training: Training, parts: Parts | None = None) -> Trainer:
    torch.set_num_threads(1)
    return Trainer(training, CHANNELS, parts or made_parts())


def write_csv(path: Path, trial: Trial, rate_hz: float = 50.0) -> Path:
    """The trial as a user's file, targets at every sample."""
    rows = ["t,a,b,x,y"]
    for k, (inputs, targets) in enumerate(zip(trial.inputs, trial.targets, strict=True)):
        rows.append(",".join(f"{value!r}" for value in (k / rate_hz, *inputs.tolist(), *targets.tolist())))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    """Five recordings of a user."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for k in range(5):
        write_csv(folder / f"{k}.csv", made_trial(k))
    return folder
