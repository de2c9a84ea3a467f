"""The tasks: what goes in is causal, what comes out is the truth, and groups are left out whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from knuckle.core.errors import InputError
from knuckle.sensors.hiss import skin_task
from knuckle.sensors.hiss.splits import ORIENTATION, VELOCITY, broad_group, divide
from knuckle.sensors.hiss.tasks import TASKS, open_task, task_of
from knuckle.sensors.hiss.velocity_task import load_trial
from knuckle.sensors.hiss.velocity_variation import turned
from knuckle.sensors.recording import ImuRecording

RATE_HZ = 1e9 / 3_500_000


def sliding(seconds: float = 6.0, seed: int = 0) -> tuple[ImuRecording, np.ndarray]:
    """A level sensor that slides to and fro along x and y without turning, and where it was (N, 3)."""
    n, rng = int(seconds * RATE_HZ), np.random.default_rng(seed)
    t = np.arange(n) / RATE_HZ
    position = np.stack([0.2 * np.sin(3.0 * t), 0.1 * np.cos(4.0 * t), 0.0 * t], axis=1)
    acc = np.stack([-1.8 * np.sin(3.0 * t), -1.6 * np.cos(4.0 * t), 9.81 + 0.0 * t], axis=1)
    noise = 1e-3 * rng.standard_normal((3, n, 3))
    recording = ImuRecording(
        name="made",
        rate_hz=RATE_HZ,
        stamps_ns=np.rint(np.arange(n) * 3_500_000).astype(np.int64),
        gyr=noise[0],
        acc=acc + noise[1],
        mag=np.array([0.0, 2e-5, -4e-5]) + 1e-4 * noise[2],
        truth=np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)),
        movement=t > 1.0,
    )
    return recording, position


@pytest.mark.parametrize("frame", ["level", "body"])
def test_a_target_is_the_mean_velocity_of_the_last_chunk(write_broad: Callable[..., Path], frame: str) -> None:
    recording, position = sliding()
    trial = load_trial(write_broad(recording, opt_pos=position), frame)
    assert not trial.known[:10].any() and trial.known[10:].all()
    t = np.arange(len(trial)) / 50.0

    def at(t: np.ndarray) -> np.ndarray:
        return np.stack([0.2 * np.sin(3.0 * t), 0.1 * np.cos(4.0 * t), 0.0 * t], axis=1)

    wanted = (at(t) - at(t - 0.2)) / 0.2
    assert np.abs(trial.targets[10:, :2] - wanted[10:, :2]).max() < 0.02 * 0.6 + 0.1  # VQF tilts while it slides
    scale = np.sqrt(np.mean(np.square(trial.targets[100:] - wanted[100:])))
    assert scale < 0.1 * np.sqrt(np.mean(np.square(wanted[100:])))
    assert trial.scored[: int(1.0 * 50)].sum() == 0 and trial.scored[60:].all()


@pytest.mark.parametrize("frame", ["level", "body"])
def test_inputs_do_not_know_what_comes_later(write_broad: Callable[..., Path], frame: str) -> None:
    recording, position = sliding()
    whole = load_trial(write_broad(recording, opt_pos=position), frame)
    first = recording.part(0.0, 3.0)
    part = load_trial(write_broad(first, opt_pos=position[: len(first)]), frame)
    np.testing.assert_allclose(part.inputs, whole.inputs[: len(part)], atol=1e-9)


def test_turning_inputs_and_targets_about_the_vertical_keeps_lengths_and_heights() -> None:
    rows = np.random.default_rng(0).standard_normal((7, 6))
    found = turned(rows, 0.7)
    np.testing.assert_allclose(found[:, [2, 5]], rows[:, [2, 5]])
    np.testing.assert_allclose(
        np.linalg.norm(found.reshape(7, 2, 3), axis=2), np.linalg.norm(rows.reshape(7, 2, 3), axis=2)
    )
    np.testing.assert_allclose(turned(found, -0.7), rows)


@pytest.mark.data
def test_the_groups_of_broad_are_left_out_whole(data_folder: Path) -> None:
    stems = [path.stem for path in sorted((data_folder / "broad").glob("*.mat"))]
    groups = {stem: broad_group(stem) for stem in stems}
    assert "other" not in groups.values()
    assert {groups[stem] for stem in stems if "magnet" in stem} == {"stationary_magnet", "attached_magnet"}
    for split in (VELOCITY, *ORIENTATION.values()):
        assert not split.validation & split.test


def test_a_task_is_made_again_from_what_its_card_says() -> None:
    options = {"table": {"inputs": "a,b", "targets": "x", "time": "t_ms", "rate": "25"}, "velocity": {"frame": "body"}}
    for name in TASKS:
        task = open_task(name, options.get(name, {}))
        again = task_of(task.facts, where="card")
        assert again.facts == task.facts and again.channels == task.channels


@pytest.fixture
def skin_folder(tmp_path: Path) -> Path:
    """Ten strokes as ``knuckle data skin`` writes them."""
    card = {"format": "knuckle skin", "version": 1, "rate_hz": 50, "samples_per_target": 10}
    (tmp_path / "strokes").mkdir()
    (tmp_path / "skin.json").write_text(json.dumps(card | {"channels": list(skin_task.CHANNELS)}), encoding="utf-8")
    facts = json.dumps({"format": "knuckle skin stroke", "version": 1})
    for k in range(10):
        rng = np.random.default_rng(k)
        sizes = {"signals": (50, 15), "velocity": (5, 2), "place": (50, 2), "force": (50, 3)}
        arrays = {name: rng.standard_normal(size).astype(np.float32) for name, size in sizes.items()}
        save_file(arrays, tmp_path / "strokes" / f"{k:06d}.safetensors", metadata={"facts": facts})
    return tmp_path


def test_strokes_have_a_target_at_the_end_of_each_chunk(skin_folder: Path) -> None:
    task = open_task("skin", {})
    parts = divide(task.load(skin_folder), task.split, where="")
    assert [len(parts.train), len(parts.validation), len(parts.test)] == [8, 1, 1]
    trial = parts.train[0]
    np.testing.assert_array_equal(np.flatnonzero(trial.known), [9, 19, 29, 39, 49])
    assert trial.inputs.shape == (50, 15) and trial.scored.sum() == 5


def test_a_skin_of_another_rate_is_refused(skin_folder: Path) -> None:
    card = json.loads((skin_folder / "skin.json").read_text())
    (skin_folder / "skin.json").write_text(json.dumps(card | {"rate_hz": 100}), encoding="utf-8")
    with pytest.raises(InputError, match="100 Hz and 10 samples a target; 50 Hz and 10"):
        skin_task.load_trials(skin_folder)


def test_a_skin_with_other_channels_is_refused(skin_folder: Path) -> None:
    card = json.loads((skin_folder / "skin.json").read_text())
    (skin_folder / "skin.json").write_text(json.dumps(card | {"channels": ["f0", "f1"]}), encoding="utf-8")
    with pytest.raises(InputError, match="2 channels: f0, f1, ...; the 15 of five magnetometers"):
        skin_task.load_trials(skin_folder)
