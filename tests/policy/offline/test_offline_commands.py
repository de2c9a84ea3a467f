"""`knuckle train offline` and `knuckle eval offline`: what they leave, how they go on, and what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from knuckle.cli import main
from knuckle.policy.offline.judge import NearestReplay, play, shuffled
from knuckle.policy.offline.learners import LEARNERS
from knuckle.policy.offline.offline_run import OfflinePlan, OfflineRun
from knuckle.policy.offline.prepare import prepared, unit_transitions
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.environments import offline_task
from knuckle.policy.offline_data.episode import episode_of
from knuckle.policy.offline_data.minari_folder import write_minari
from knuckle.policy.offline_data.open_data import open_data
from knuckle.policy.offline_data.torch_actor import TorchActor

SMALL = {"width": "16", "batch": "32"}
POLICY = {"policy_width": "16"}


def hopper_like(episodes: int = 4, steps: int = 30, low: float = -1.0, high: float = 1.0) -> Dataset:
    """Drawn episodes of Hopper's widths; better ones are earned by larger first actions."""
    rng = np.random.default_rng(0)
    made = []
    for k in range(episodes):
        acted = rng.uniform(low, high, (steps, 3)).astype(np.float32)
        seen = rng.standard_normal((steps + 1, 11)).astype(np.float32)
        made.append(episode_of(seen, acted, acted[:, 0] + k, k % 2 == 0, {}, where="made"))
    bounds = np.full(3, low, dtype=np.float32), np.full(3, high, dtype=np.float32)
    return Dataset("made", tuple(made), *bounds, "Hopper-v5")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """The folder of `hopper_like` as Minari keeps it."""
    folder = tmp_path / "made"
    write_minari(folder, hopper_like(), algorithm="drawn", description={})
    return folder


@pytest.mark.parametrize("name", LEARNERS)
def test_the_policy_in_the_units_of_the_task_acts_as_the_learner_does(name: str, tmp_path: Path) -> None:
    data = hopper_like(low=-0.5, high=2.0)
    extra = POLICY if name.startswith("odice") else {}
    run = OfflineRun(OfflinePlan(name, SMALL | extra, 3, 0), data, tmp_path / "run")
    run.learn(log_every=3, keep_every=3)
    seen = data.episodes[0].observations
    given = seen if run.data.scale is None else run.data.scale(seen)
    unit = run.fit.act(given)
    np.testing.assert_allclose(TorchActor(run.actor()).act(seen), 0.75 + 1.25 * unit, atol=1e-5)


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_policy(recorded: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = "--set width=16,batch=32,cosine_steps=9 --keep-every 3 --log-every 3"
    words = f"train offline --data {recorded} --learner iql {settings}"
    assert main([*words.split(), "--steps", "9", "--run", str(whole)]) == 0
    plan = OfflinePlan("iql", {"width": "16", "batch": "32", "cosine_steps": "9"}, 9, 0)
    begun = OfflineRun(plan, open_data(str(recorded)), killed)
    begun.fit.run(6, log_every=3)
    begun.folder.keep(*begun.fit.capture())
    begun.fit.run(8)
    del begun
    assert main([*words.split(), "--steps", "9", "--run", str(killed)]) == 0
    assert (whole / "policy" / "policy.onnx").read_bytes() == (killed / "policy" / "policy.onnx").read_bytes()
    card = json.loads((killed / "policy" / "card.json").read_text())
    assert card["config"]["task"] == "hopper"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train offline", "no data"),
        ("train offline --data nowhere", "no such data set"),
        ("train offline --data DATA --learner odyce", "did you mean 'odice'"),
        ("train offline --data DATA --set lambda=0.5", "unknown setting"),
        ("train offline --data DATA --rewards minus", "unknown rule for rewards"),
        ("eval offline", "a study or a task"),
        ("eval offline --study navigatoin", "did you mean 'navigation'"),
        ("eval offline --task hopper", "no data"),
        ("eval offline --task door --data DATA", "the 39 and 28 of door"),
        ("eval offline --task hopper --data DATA --learners bc+bcq", "unknown learner"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line_and_nothing_is_left(
    words: str, said: str, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    where = ["--run" if words.startswith("train") else "--out", str(run)]
    assert main([*words.replace("DATA", str(recorded)).split(), *where]) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1
    assert not run.exists()


def test_a_run_of_other_settings_in_the_same_folder_is_refused(recorded: Path, tmp_path: Path) -> None:
    words = ["train", "offline", "--data", str(recorded), "--run", str(tmp_path / "run"), "--steps", "2"]
    assert main([*words, "--learner", "bc", "--set", "width=16"]) == 0
    before = (tmp_path / "run" / "run.json").read_bytes()
    assert main([*words, "--learner", "bc", "--set", "width=17"]) == 2
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_comparison_leaves_a_table_a_figure_and_goes_on_where_it_was(recorded: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "figures.json"
    sizes = "bc.width=16,odice.width=16,odice.policy_width=16,odice.batch=32"
    words = (
        f"eval offline --task hopper --data {recorded} --learners bc+odice+nearest-replay+shuffled-actions --seeds 2"
    )
    more = f"--steps 4 --choice-steps 3 --lambdas 0.4+0.6 --episodes 2 --set {sizes} --out {out} --json {path}"
    assert main([*words.split(), *more.split()]) == 0
    written = json.loads(path.read_text())
    figures, intervals = written["figures"], written["intervals"]
    assert figures["lambda_odice"] in (0.4, 0.6)
    low, high = intervals["score_bc"]
    assert low <= figures["score_bc"] <= high
    assert {"return_nearest_replay", "return_shuffled_actions", "step_cpu_ms_odice"} <= figures.keys()
    assert "<svg" in (out / "figure.svg").read_text()
    shutil.rmtree(out / "bc-1")
    assert main([*words.split(), *more.split()]) == 0
    again = json.loads(path.read_text())["figures"]
    assert again["return_bc"] == figures["return_bc"]


def test_the_nearest_recording_is_played_again() -> None:
    data = hopper_like()
    replay, firsts = NearestReplay(data), np.stack([e.observations[0] for e in data.episodes])
    actions = replay(firsts[[2, 1]] + 0.01, np.array([0, 1]), 0)
    np.testing.assert_array_equal(actions, [data.episodes[2].actions[0], data.episodes[1].actions[0]])
    np.testing.assert_array_equal(replay(firsts[[0]], np.array([1]), 500), data.episodes[1].actions[[-1]])


def test_shuffling_keeps_every_action_and_gives_most_to_another_step() -> None:
    data = hopper_like()
    mixed = shuffled(data, np.random.default_rng(0))
    before, after = (np.concatenate([e.actions for e in d.episodes]) for d in (data, mixed))
    assert sorted(map(tuple, before.tolist())) == sorted(map(tuple, after.tolist()))
    assert (before != after).any(axis=1).mean() > 0.9


def test_episodes_are_played_to_their_end_and_begin_alike_under_a_seed() -> None:
    task = offline_task("hopper")

    def still(seen: np.ndarray, numbers: np.ndarray, step: int) -> np.ndarray:
        return np.zeros((len(seen), 3))

    first, again = (play(still, task, episodes=2, seed=3).returns for _ in range(2))
    assert np.array_equal(first, again)
    assert (first > 10.0).all() and first[0] != first[1]


def test_data_are_scaled_as_the_learners_authors_do() -> None:
    data = hopper_like(low=-2.0, high=2.0)
    odice, cloned = prepared(data, "odice"), prepared(data, "bc")
    assert odice.reward_rule == "return_range" and odice.scale is None
    assert cloned.reward_rule == "none" and cloned.scale is not None
    unit = unit_transitions(data).actions
    np.testing.assert_allclose(unit, np.concatenate([e.actions for e in data.episodes]) / 2.0, atol=1e-6)
