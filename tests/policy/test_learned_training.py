"""Training by PPO: it goes on after a kill as if nothing had been, leaves a policy, and refuses what cannot be."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from knuckle.core.errors import ConfigError, InputError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.curriculum import Curriculum
from knuckle.policy.learned.finish import export
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.progress_view import ProgressView
from knuckle.policy.learned.run_folder import RunFolder
from knuckle.policy.learned.train_command import learn, train_reorient
from knuckle.policy.learned.train_config import Training, make_training
from knuckle.policy.learned.trainer import Trainer

SMALL = {"worlds": "8", "steps": "6", "width": "16", "minibatches": "2", "judge_worlds": "4", "cached_starts": "4"}
QUIET = Console(quiet=True)


def small(**changes: str) -> Training:
    return make_training("quick", "dclaw3", SMALL | changes, threads=1, seed=3)


def trainer_of(training: Training, folder: RunFolder, starts: Path) -> Trainer:
    return Trainer(training, fault_folder=folder.path, cache_folder=starts)


def weights(trainer: Trainer) -> np.ndarray:
    return np.concatenate([value.detach().numpy().ravel() for value in trainer.model.policy.parameters()])


def run_of(path: Path, training: Training) -> RunFolder:
    folder = RunFolder(path)
    folder.begin(training)
    return folder


def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(
    tmp_path: Path, start_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = small(
        objects="vehicles",
        rungs="yaw60+60",
        window="8",
        promote_at="0.01",
        episode_s="1.0",
        randomisation="default",
        starts="mixed",
        checkpoint_every="2",
        judge_every="3",
    )
    straight = trainer_of(training, run_of(tmp_path / "a", training), start_folder)
    kept_at: list[int] = []
    learn(straight, RunFolder(tmp_path / "a"), 60.0, QUIET, updates=9, kept=lambda: kept_at.append(straight.updates))
    assert kept_at == [2, 4, 6, 8, 9]

    folder = run_of(tmp_path / "b", training)
    first = trainer_of(training, folder, start_folder)
    kept = folder.note

    def killed(row: dict[str, float]) -> None:
        kept(row)
        if row["updates"] == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(folder, "note", killed)
    with pytest.raises(KeyboardInterrupt):
        learn(first, folder, 60.0, QUIET, updates=9)
    again = RunFolder(tmp_path / "b")
    second = trainer_of(again.training(), again, start_folder)
    learn(second, again, 60.0, QUIET, updates=9)

    np.testing.assert_array_equal(weights(second), weights(straight))
    assert second.curriculum.facts() == straight.curriculum.facts()
    timed = {"spent_s", "cpu_s", "steps_per_s", "steps_per_cpu_s", "world_share_of_time"}
    rows = [
        [{k: repr(row[k]) for k in row.keys() - timed} for row in f.figures()]
        for f in (RunFolder(tmp_path / "a"), again)
    ]
    assert rows[0] == rows[1] and [row["updates"] for row in again.figures()] == [float(k) for k in range(1, 10)]


def test_judging_changes_nothing_of_what_is_learned(tmp_path: Path, start_folder: Path) -> None:
    ends = []
    for judged in (False, True):
        trainer = trainer_of(small(), RunFolder(tmp_path), start_folder)
        for _ in range(3):
            trainer.update()
            if judged:
                assert trainer.judged() == trainer.judged()
        ends.append(weights(trainer))
    np.testing.assert_array_equal(*ends)


def test_what_is_exported_acts_as_what_was_trained_and_says_how(tmp_path: Path, start_folder: Path) -> None:
    training = small(rungs="yaw60+so3")
    folder = run_of(tmp_path, training)
    trainer = trainer_of(training, folder, start_folder)
    trainer.update()
    export(trainer, folder, "quick")
    policy = LearnedPolicy(hand_spec("dclaw3"), folder.policy)
    told = policy.card.config
    assert told["parity"]["largest_observed"] <= 1e-4 and told["parity"]["largest_random"] <= 1e-4
    assert told["training"]["reward"]["progress"] == 20.0 and told["training"]["ppo"]["rungs"] == "yaw60+so3"
    assert told["training"]["steps"] == 48 and told["training"]["rung"] == "yaw60"
    np.testing.assert_allclose(policy.card.normaliser["observation"][0], trainer.actor().normaliser.mean)


def test_the_command_leaves_a_run_and_goes_on_with_it(
    tmp_path: Path, start_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(start_folder))
    changes = ",".join(f"{name}={value}" for name, value in SMALL.items())
    argv = ["--run", str(tmp_path / "run"), "--set", changes, "--threads", "1", "--episodes", "2"]
    assert train_reorient([*argv, "--minutes", "0.002", "--no-video"]) == 0
    said = capsys.readouterr().out
    assert "by all five conditions" in said.replace("\n", " ") and "CPU-hours" in said
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"run.json", "checkpoint.safetensors", "metrics.jsonl", "tensorboard", "policy"} <= names
    card = json.loads((tmp_path / "run" / "policy" / "card.json").read_text())
    (protocol,) = card["scores"]
    assert protocol == "yaw60, truck, table, privileged, 2 episodes, seed 1"
    with pytest.raises(InputError, match="the run has had its .* min; more --minutes to go on"):
        train_reorient([*argv, "--minutes", "0.002"])
    with pytest.raises(InputError, match="the run here has seed 0, not 1"):
        train_reorient([*argv, "--seed", "1"])
    # A slow machine's one update may have taken any time: the next one begins after it.
    left = RunFolder(tmp_path / "run").checkpoint()
    assert left is not None
    spent_min = left[1]["spent_s"] / 60
    assert train_reorient([*argv, "--minutes", f"{spent_min + 0.0005:.5f}", "--no-video"]) == 0
    assert "goes on after update" in capsys.readouterr().out


def test_a_full_disk_ends_the_run_in_one_line_and_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.keep({"a": np.arange(3)}, {"updates": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"the checkpoint cannot be written \(No space left on device\)"):
        folder.keep({"a": np.zeros(3)}, {"updates": 2})
    kept = folder.checkpoint()
    assert (
        kept is not None
        and kept[1]["updates"] == 1
        and [p.name for p in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    )


def test_a_checkpoint_that_is_broken_or_of_something_else_is_refused(tmp_path: Path, start_folder: Path) -> None:
    training = small()
    folder = run_of(tmp_path, training)
    trainer = trainer_of(training, folder, start_folder)
    with pytest.raises(RunError, match="nothing has been learned yet"):
        trainer.capture()
    trainer.update()
    arrays, facts = trainer.capture()
    wider = trainer_of(small(width="8"), folder, start_folder)
    with pytest.raises(InputError, match="the checkpoint does not fit"):
        wider.restore(arrays, facts, where="here")
    folder.keep(arrays, facts)
    whole = (tmp_path / "checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"checkpoint\.safetensors: the checkpoint cannot be read"):
        folder.checkpoint()


def test_weights_that_are_not_finite_end_the_run(tmp_path: Path, start_folder: Path) -> None:
    trainer = trainer_of(small(), RunFolder(tmp_path), start_folder)
    trainer.update()
    trainer.model.policy.value_net.bias.data[:] = float("nan")
    with pytest.raises(RunError, match=r"training: (update 2 broke down|the weights are not finite after update 2)"):
        trainer.update()


def test_the_noise_sinks_as_far_as_its_annealing_says(tmp_path: Path, start_folder: Path) -> None:
    training = small(log_std="-0.5", log_std_end="-2.5", anneal_steps="96")  # two updates
    trainer, sunk = trainer_of(training, RunFolder(tmp_path), start_folder), []
    for _ in range(3):
        trainer.update()
        sunk.append(float(trainer.model.policy.log_std.detach().max()))
    np.testing.assert_array_less(sunk, [-1.5 + 1e-6, -2.5 + 1e-6, -2.5 + 1e-6])
    assert sunk[0] > -1.6 and sunk[1] > -2.6


def test_learning_does_not_take_the_noise_below_what_it_may_not(tmp_path: Path, start_folder: Path) -> None:
    trainer = trainer_of(small(log_std="-1", log_std_end="-1", log_std_least="-1"), RunFolder(tmp_path), start_folder)
    for _ in range(3):
        trainer.update()
        np.testing.assert_allclose(trainer.model.policy.log_std.detach(), -1.0)


def test_a_run_is_for_one_process(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    first.lock()
    with pytest.raises(InputError, match="another process trains here"):
        second.lock()


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--preset", "slow"], "train reorient.preset: 'slow' is not a choice; one of: quick, full"),
        (["--set", "world=9"], "--set: unknown setting 'world'; did you mean 'worlds'?"),
        (["--set", "worlds=1"], "--set worlds: 1 is out of range; 2 to 65536"),
        (["--set", "worlds"], "--set: 'worlds'; name=value, separated by commas"),
        (["--set", "rungs=yaw60+61"], "--set rungs: unknown rung '61'"),
        (["--set", "rungs=60+60"], "--set rungs: rungs '60+60'; each rung once"),
        (["--set", "objects=trucks"], "--set objects: unknown object or family 'trucks'; did you mean 'truck'?"),
        (["--set", "reward.sucess=1"], "--set reward: unknown setting 'sucess'; did you mean 'success'?"),
        (["--set", "prize.success=1"], "--set prize.success: unknown part 'prize'"),
        (["--set", "done.steps=0"], "--set done steps: 0 is out of range; 1 to 120"),
        (["--set", "minibatches=7"], "--set minibatches: 8192 steps an update in 7 parts"),
        (["--set", "rate=0.05"], "--set rate: a learning rate of 0.05; rate_low <= rate <= rate_high"),
        (["--set", "log_std=-3"], "--set log_std_end: noise that grows from -3 to -1.2; -3 at most"),
        (["--set", "log_std_least=-1"], "--set log_std_least: noise of -1 at least and -1.2 at most; -1.2 at most"),
        (["--set", "physics=moon"], "unknown physics 'moon'"),
        (["--hand", "dclaw9"], "--hand: unknown hand 'dclaw9'"),
        (["--run", "/proc/run"], "the run cannot be written there"),
    ],
)
def test_bad_input_is_one_clear_line(
    argv: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, ConfigError)) as caught:
        train_reorient(argv)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_curriculum_climbs_when_the_newest_rung_is_mastered_and_keeps_the_earlier_ones() -> None:
    def made() -> Curriculum:
        return Curriculum(("yaw60", "60", "so3"), promote_at=0.5, newest_share=0.6, window=4)

    ladder = made()
    assert ladder.shares() == {"yaw60": 1.0}
    for won in (True, True, True):
        ladder.add("yaw60", won)
    assert not ladder.climb()  # the window is not full
    ladder.add("yaw60", False)
    assert ladder.climb() and ladder.newest == "60" and not ladder.climb()
    for won in (False, True, False, True):
        ladder.add("60", won)
    assert ladder.climb()
    assert ladder.shares() == pytest.approx({"yaw60": 0.2, "60": 0.2, "so3": 0.6})
    again = made()
    again.restore(json.loads(json.dumps(ladder.facts())))
    assert again.facts() == ladder.facts() and again.success("yaw60") == 0.75 and again.newest == "so3"
    for _ in range(4):
        again.add("so3", True)
    assert not again.climb()


def test_the_terminal_shows_the_curve_the_speed_and_the_time_that_is_left() -> None:
    row = {"steps": 2e6, "steps_per_s": 5000.0, "approx_kl": 0.01, "rate": 5e-4, "spent_s": 90.0}
    row |= {"judged_five": 0.7, "judged_crossed": 0.8, "success_newest": 0.6}
    for terminal, wanted in (
        (True, ("1.5 of 5 min, 3.5 left", "60%", "70%", "2.00 M steps, 5000 steps/s", "▁▆")),
        (False, ("1.5 min", "2.00 M steps", "yaw60:  70% by five conditions,  80% crossed")),
    ):
        console = Console(force_terminal=terminal, width=100, file=io.StringIO())
        with ProgressView(console, "PPO", 5.0, [row | {"judged_five": 0.0}]) as view:
            view.show(row, "yaw60")
        assert isinstance(console.file, io.StringIO)
        said = console.file.getvalue()
        assert all(text in said for text in wanted), said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_learns_to_turn_an_object_from_nothing(tmp_path: Path, start_folder: Path) -> None:
    training = make_training("quick", "dclaw3", {"worlds": "256", "judge_worlds": "64"}, threads=1, seed=0)
    trainer = trainer_of(training, RunFolder(tmp_path), start_folder)
    trainer.update()
    first: Any = trainer.judged()
    while trainer.steps < 250_000:
        trainer.update()
    last = trainer.judged()
    assert first["judged_five"] <= 0.1
    assert last["judged_five"] >= 0.25 and last["judged_dropped"] <= 0.2
