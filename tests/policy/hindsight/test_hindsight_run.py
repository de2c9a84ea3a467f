"""A run: it goes on after a kill to the same next loss, leaves a policy that is judged as any other, and refuses what
cannot be."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from knuckle.core.errors import ConfigError, InputError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.commands import eval_reorient
from knuckle.policy.hindsight import replay_file
from knuckle.policy.hindsight.hindsight_config import Hindsight
from knuckle.policy.hindsight.hindsight_run import HindsightRun
from knuckle.policy.hindsight.hindsight_view import HindsightView
from knuckle.policy.hindsight.leave import export
from knuckle.policy.hindsight.outcomes import Outcomes
from knuckle.policy.hindsight.run_settings import note_or_require_same
from knuckle.policy.hindsight.train_command import learn, train_hindsight
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.run_folder import RunFolder

from .conftest import SMALL

HAND = hand_spec("dclaw3")
QUIET = Console(quiet=True)
Small = Callable[..., Hindsight]


def run_in(folder: RunFolder, settings: Hindsight, starts: Path) -> HindsightRun:
    return HindsightRun(settings, fault_folder=folder.path, cache_folder=starts)


def weights(run: HindsightRun) -> np.ndarray:
    """Of all networks, Adam's steps and the noise's state, by name."""
    return np.concatenate([value.ravel().astype(np.float64) for _, value in sorted(run.learner.capture()[0].items())])


def test_a_killed_run_goes_on_to_the_same_next_loss(
    tmp_path: Path, start_folder: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Episodes of a second and a ring that has gone round; held starts, so that tables are away.
    settings = small(episode_s="1.0", ring="36", checkpoint_every="4", judge_every="3", held_share="0.5", cycle="6")
    straight, kept_at = run_in(RunFolder(tmp_path / "a"), settings, start_folder), list[int]()
    learn(straight, RunFolder(tmp_path / "a"), 60.0, QUIET, cycles=11, kept=lambda: kept_at.append(straight.cycles))
    assert kept_at == [4, 8, 11]

    folder = RunFolder(tmp_path / "b")
    first, noted = run_in(folder, settings, start_folder), folder.note

    def killed(row: dict[str, float]) -> None:
        noted(row)
        if row["cycles"] == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(folder, "note", killed)
    with pytest.raises(KeyboardInterrupt):
        learn(first, folder, 60.0, QUIET, cycles=11)
    (tmp_path / "b" / ".replay-00000060.safetensors.77").write_bytes(b"half of one")
    again = RunFolder(tmp_path / "b")
    second = run_in(again, settings, start_folder)
    learn(second, again, 60.0, QUIET, cycles=11)

    np.testing.assert_array_equal(weights(second), weights(straight))
    timed = {"spent_s", "cpu_s", "steps_per_s", "steps_per_cpu_s"}
    rows = [
        [{k: repr(row[k]) for k in row.keys() - timed} for row in f.figures()]
        for f in (RunFolder(tmp_path / "a"), again)
    ]
    assert rows[0] == rows[1] and [row["cycles"] for row in again.figures()] == [float(k) for k in range(1, 12)]
    assert "nan" not in {row["critic_loss"] for row in rows[0]} and rows[0][-1]["actor_loss"] != "nan"
    # One pair is left, and nothing half-written.
    names = {path.name for path in (tmp_path / "b").iterdir() if "replay" in path.name}
    assert names == {"replay-00000066.safetensors"}


def test_the_policy_is_exported_as_any_other_and_says_how_it_was_made(
    tmp_path: Path, start_folder: Path, small: Small
) -> None:
    run = run_in(RunFolder(tmp_path), small(), start_folder)
    for _ in range(3):
        run.cycle()
    export(run, tmp_path / "policy")
    policy = LearnedPolicy(HAND, tmp_path / "policy")
    told = policy.card.config
    assert told["parity"]["largest_observed"] <= 1e-4 and told["network"]["turns"] == 3
    assert told["training"]["reward"] == {
        "progress": 1.0,
        "success": 4.0,
        "fall": -2.0,
        "step": -0.03,
        "tip_distance": -0.3,
        "tip_free": 0.03,
        "rest_slack": 3.0,
    }
    assert told["training"]["began_as"] == "warm" and told["training"]["steps"] == 90
    assert told["training"]["planner_steps"] == 90 and told["training"]["config"]["gamma"] == 0.97
    # Warm again from what was left, as any policy's folder can be.
    again = run_in(RunFolder(tmp_path), replace(small(), warm=str(tmp_path / "policy")), start_folder)
    np.testing.assert_allclose(again.act(run.observed()), run.act(run.observed()), atol=1e-5)


def words(tmp_path: Path, warm: Path, collected: Path, *, minutes: str = "0.001", judged: str = "0") -> list[str]:
    changes = ",".join(f"{name}={value}" for name, value in SMALL.items())
    return [
        *("--warm", str(warm), "--episodes", f"{collected}+{collected}", "--run", str(tmp_path / "run")),
        *("--minutes", minutes, "--threads", "1", "--seed", "3", "--set", changes, "--judged", judged),
    ]


def test_the_command_leaves_a_run_that_goes_on_and_a_policy_that_is_judged(
    tmp_path: Path,
    start_folder: Path,
    warm: Path,
    collected: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(start_folder))
    argv = words(tmp_path, warm, collected, judged="1")
    assert train_hindsight([*argv, "--rungs", "yaw60"]) == 0
    said = capsys.readouterr().out
    assert "6 worlds, 1 objects, 180 steps of a planner, begun as warm" in said and "yaw60: " in said
    run = tmp_path / "run"
    names = {path.name for path in run.iterdir() if "replay" not in path.name}
    assert {"run.json", "checkpoint.safetensors", "metrics.jsonl", "tensorboard", "policy"} <= names
    assert list(json.loads((run / "policy" / "card.json").read_text())["scores"]) == [
        "yaw60, truck, table, privileged, 1 episodes, seed 1"
    ]
    with pytest.raises(InputError, match="the run has had its .* min; more --minutes to go on"):
        train_hindsight(argv)
    for changed, line in (
        (["--seed", "4"], "the run here has seed 3, not 4"),
        (["--episodes", str(collected)], "the run here has episodes"),
        (["--set", "gamma=0.9"], "the run here has config.objects truck, not train"),
    ):
        with pytest.raises(InputError, match=line):
            train_hindsight([*argv, *changed])
    before = RunFolder(run).checkpoint()
    assert before is not None
    assert train_hindsight(words(tmp_path, warm, collected, minutes=f"{before[1]['spent_s'] / 60 + 0.001:.6f}")) == 0
    assert "goes on after update" in capsys.readouterr().out
    figures = tmp_path / "f.json"
    judge = ["--controller", str(run), "--rung", "yaw60", "--objects", "truck", "--episodes", "1", "--jobs", "1"]
    assert eval_reorient([*judge, "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["n"] == 1


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (
            ["--warm", "nobody"],
            "--warm: no policy 'nobody'; reorient-chunks or reorient-dclaw3 or reorient-dclaw4-air or "
            "reorient-foresight, or the folder of a trained policy",
        ),
        (["--warm", "here/nobody"], "here/nobody: no card.json in it; the folder of a trained policy"),
        (["--hand", "dclaw4"], "the policy is for hand dclaw3; dclaw4"),
        (["--hand", "dclaw9"], "--hand: unknown hand 'dclaw9'"),
        (["--episodes", "nowhere"], "nowhere: no collection is here"),
        (["--set", "width=64"], "the policy's hidden layers have [128, 128] units, not [64, 64]; width=128,layers=2"),
        (["--set", "gama=0.9"], "--set: unknown setting 'gama'; did you mean 'gamma'?"),
        (["--set", "reward.fal=1"], "--set reward: unknown setting 'fal'; did you mean 'fall'?"),
        (["--set", "prize.fall=1"], "--set prize.fall: unknown part 'prize'"),
        (["--set", "rungs=61"], "--set rungs: unknown rung '61'"),
        (["--set", "rungs=60=0.5+90=0.2"], "--set rungs: rungs '60=0.5+90=0.2'; each once, with shares that sum to 1"),
        (["--set", "rungs=60=much"], "--set rungs: a share of 'much' for 60"),
        (["--set", "rungs=60=nan"], "--set rungs: rungs '60=nan'"),
        (["--set", "ring=100"], "--set ring: a ring of 100 control steps for episodes of 120; 144 or more"),
        (["--set", "first_steps=61"], "--set first_steps: 61 control steps before the first update; 60 at most"),
        (["--set", "anchor=0.1"], "--set anchor_end: an anchor that grows from 0.1 to 0.2; 0.1 at most"),
        (["--set", "noise=0.1+much"], "--set noise: noise '0.1+much'"),
        (["--set", "physics=moon"], "unknown physics 'moon'"),
        (["--set", "objects=trucks"], "--set objects: unknown object or family 'trucks'; did you mean 'truck'?"),
        (["--rungs", "61"], "--rungs: unknown rung '61'"),
        (["--run", "/proc/run"], "the run cannot be written there"),
    ],
)
def test_bad_input_is_one_clear_line(
    argv: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, ConfigError)) as caught:
        train_hindsight(argv)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_policy_of_one_network_for_the_whole_hand_is_refused(
    small: Small, export: Callable[..., Path], tmp_path: Path
) -> None:
    folder = export(tmp_path / "whole")
    with pytest.raises(InputError, match="one network for the whole hand; a policy that is one network for every"):
        HindsightRun(replace(small(), warm=str(folder)), fault_folder=tmp_path)


def test_a_half_written_run_is_refused_in_one_line(tmp_path: Path, start_folder: Path, small: Small) -> None:
    folder = RunFolder(tmp_path)
    run = run_in(folder, small(), start_folder)
    with pytest.raises(RunError, match="nothing has been learned yet"):
        run.capture()
    run.cycle()
    replay_file.keep(folder, *run.capture(), run.replay.capture())
    (ring,) = tmp_path.glob("replay-*")
    whole = ring.read_bytes()
    ring.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"replay-00000005\.safetensors: the replay cannot be read"):
        replay_file.kept(folder)
    ring.unlink()
    with pytest.raises(InputError, match="the replay that the checkpoint goes on with is not there"):
        replay_file.kept(folder)
    ring.write_bytes(whole)
    pair = replay_file.kept(folder)
    assert pair is not None
    wider = run_in(folder, small(critic_width="8"), start_folder)
    with pytest.raises(InputError, match="here: the checkpoint does not fit") as caught:
        wider.restore(*pair, where="here")
    assert "\n" not in str(caught.value)
    shorter = run_in(folder, replace(small(), episodes=()), start_folder)
    with pytest.raises(InputError, match="the planner's episodes are not those that the run began with"):
        shorter.restore(*pair, where="here")
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="the checkpoint cannot be read"):
        replay_file.kept(folder)
    folder.keep({"a": np.zeros(1)}, {"updates": 1})
    with pytest.raises(InputError, match="the checkpoint is of another learner"):
        replay_file.kept(folder)
    for text, line in (('{"hand": ', "the settings cannot be read"), ('{"hand": "dclaw3"}', "run here has learner No")):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=line):
            note_or_require_same(tmp_path, small())


def test_a_full_disk_leaves_the_pair_before(
    tmp_path: Path, start_folder: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    run = run_in(folder, small(), start_folder)
    run.cycle()
    replay_file.keep(folder, *run.capture(), run.replay.capture())
    run.cycle()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"the replay cannot be written \(.*No space left on device\)"):
            replay_file.keep(folder, *run.capture(), run.replay.capture())
    pair = replay_file.kept(folder)
    assert pair is not None and pair[1]["cycles"] == 1 and len(pair[2]["before"]) == 5
    assert len([path for path in tmp_path.iterdir() if "replay" in path.name]) == 1


def test_shares_are_of_the_last_episodes_and_are_kept() -> None:
    outcomes = Outcomes(4)
    for won in (True, True, False, False, True):
        outcomes.add("60", succeeded=won, dropped=not won)
    outcomes.add("held", succeeded=False, dropped=True)
    again = Outcomes(4)
    again.restore(json.loads(json.dumps(outcomes.facts())))
    wanted = {"success_60": 0.5, "dropped_60": 0.5, "success_held": 0.0, "dropped_held": 1.0}
    assert outcomes.figures() == again.figures() == wanted


def test_the_terminal_shows_what_critics_and_anchor_do() -> None:
    row = {"steps": 2e6, "steps_per_s": 900.0, "critic_loss": 0.25, "worth": -0.2, "anchor": 1.5, "spent_s": 90.0}
    console = Console(force_terminal=True, width=100, file=io.StringIO())
    with HindsightView(console, "TD3", 5.0, []) as view:
        view.show(row | {"success_newest": 0.3}, "60")
    shown = console.file
    assert isinstance(shown, io.StringIO)
    assert "critics' loss 0.250, worth -0.20, anchor 1.50" in shown.getvalue() and "1.5 of 5 min" in shown.getvalue()
