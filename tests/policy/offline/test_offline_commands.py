"""`knuckle train offline` and `knuckle eval offline`: what they leave, how they go on, and what they refuse."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from knuckle.cli import main
from knuckle.core.array_file import read_arrays
from knuckle.core.config import parse_pairs
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.learned_policy import LearnedPolicy, open_network, run_network
from knuckle.policy.learned.policy_folder import policy_folder
from knuckle.policy.offline.comparison import Comparison, compare
from knuckle.policy.offline.judge import NearestReplay, play, shuffled
from knuckle.policy.offline.learners import LEARNERS
from knuckle.policy.offline.offline_run import OfflinePlan, OfflineRun
from knuckle.policy.offline.offline_view import OfflineView
from knuckle.policy.offline.prepare import prepared, unit_transitions
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.environments import offline_task
from knuckle.policy.offline_data.episode import episode_of
from knuckle.policy.offline_data.exported_actor import ExportedActor
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
        ("eval offline --task hopper --data DATA:9 --learners odice-imitation", "no episode 9"),
        ("eval offline --task reorient-yaw60 --data DATA", "the 87 and 9 of reorient-yaw60"),
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


def test_a_policy_goes_to_ppo_and_from_there_into_another_run(recorded: Path, tmp_path: Path) -> None:
    sizes, out = "width=16,policy_width=16,batch=32,twin=false,norm=false", tmp_path / "ppo.zip"
    words = f"train offline --data {recorded} --set {sizes} --steps 3"
    assert main([*words.split(), "--run", str(tmp_path / "a"), "--ppo", str(out)]) == 0
    seen = hopper_like().episodes[0].observations
    first = OfflineRun(
        OfflinePlan("odice", parse_pairs(sizes, where=""), 3, 0), open_data(str(recorded)), tmp_path / "a"
    )
    wanted = TorchActor(first.actor()).act(seen)
    np.testing.assert_allclose(PPO.load(out).predict(seen, deterministic=True)[0], wanted, atol=1e-5)
    run = tmp_path / "b"
    assert main([*words.split(), "--set", f"{sizes},rate=0", "--run", str(run), "--begin", str(out)]) == 0
    again = OfflinePlan("odice", parse_pairs(f"{sizes},rate=0", where=""), 3, 0)
    np.testing.assert_allclose(
        TorchActor(OfflineRun(again, open_data(str(recorded)), run).actor()).act(seen), wanted, atol=1e-4
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--learner iql --ppo OUT/ppo.zip", "mean goes through tanh"),
        ("--begin nowhere.zip", "nowhere.zip"),
        ("--begin DATA", "DATA"),
    ],
)
def test_an_exchange_with_ppo_that_cannot_be_is_refused_before_learning(
    words: str, said: str, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words.replace("OUT", str(tmp_path)).replace("DATA", str(recorded))
    whole = f"train offline --data {recorded} --set width=16 --steps 3 --run {tmp_path / 'run'} {words}"
    assert main(whole.split()) == 2
    line = capsys.readouterr().err
    assert said.replace("DATA", str(recorded)) in line and line.count("\n") == 1
    assert not (tmp_path / "ppo.zip").exists() and not (tmp_path / "run").exists()


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


def test_a_learner_of_a_comparison_may_be_given_other_observations_than_its_authors_gave_it(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"eval offline --task hopper --data {recorded} --learners odice --seeds 1 --steps 2 --episodes 1"
    sizes = "odice.width=16,odice.policy_width=16,odice.batch=32"
    for out, rule in (("raw", ""), ("scaled", ",odice.observations=scaled")):
        more = ["--lambdas", "", "--set", sizes + rule, "--out", str(tmp_path / out)]
        assert main([*words.split(), *more]) == 0
    raw, scaled = (json.loads((tmp_path / out / "odice-0" / "run.json").read_text()) for out in ("raw", "scaled"))
    assert (raw["observations"], scaled["observations"]) == ("auto", "scaled")
    assert raw["settings"] == scaled["settings"]
    first, second = (read_arrays(tmp_path / out / "odice-0" / "checkpoint.safetensors")[0] for out in ("raw", "scaled"))
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    capsys.readouterr()
    wrong = ["--lambdas", "", "--set", "odice.observations=scald", "--out", str(tmp_path / "other")]
    assert main([*words.split(), *wrong]) == 2
    assert "unknown rule for observations 'scald'; did you mean 'scaled'?" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_seed_of_every_learner_is_done_before_the_next_seed(tmp_path: Path) -> None:
    said: list[str] = []
    sizes = {"bc.width": "16", "td3-bc.width": "16", "td3-bc.batch": "32"}
    wanted = Comparison(offline_task("hopper"), hopper_like(), ["bc", "td3-bc"], 2, 2, 1, tmp_path, settings=sizes)
    rows = compare(wanted, said.append)
    assert said[0].startswith("td3-bc: the value is two thirds of its way after about")
    assert [line.partition(": ")[0] for line in said[1:]] == [
        "seed 0, bc",
        "seed 0, td3-bc",
        "seed 1, bc",
        "seed 1, td3-bc",
    ]
    assert [row.learner for row in rows] == ["bc", "td3-bc"] and all(len(row.returns) == 2 for row in rows)


def hand_like(steps: int = 12) -> Dataset:
    """Drawn episodes as wide as those of the three-fingered hand; one of two reaches its goal."""
    rng, episodes = np.random.default_rng(0), []
    for k in range(3):
        seen, rewards = rng.standard_normal((steps + 1, 87)), np.zeros(steps)
        rewards[-1] = k % 2
        acted = rng.uniform(-1.0, 1.0, (steps, 9))
        episodes.append(episode_of(seen, acted, rewards, bool(k % 2), {"succeeded": bool(k % 2)}, where="made"))
    one = np.ones(9, dtype=np.float32)
    return Dataset("made", tuple(episodes), -one, one, "knuckle/dclaw3")


@pytest.mark.parametrize("name", ["odice", "td3-bc"])
def test_a_policy_from_a_hands_episodes_is_the_hands_policy(name: str, tmp_path: Path) -> None:
    extra = POLICY if name == "odice" else {}
    run = OfflineRun(OfflinePlan(name, SMALL | extra, 3, 0), hand_like(), tmp_path / "run")
    run.learn(log_every=3, keep_every=3)
    assert run.export()
    hand = hand_spec("dclaw3")
    session = open_network(tmp_path / "run" / "policy" / "policy.onnx", 87, 9)
    seen = hand_like().episodes[0].observations
    np.testing.assert_allclose(run_network(session, seen), TorchActor(run.actor()).act(seen), atol=1e-4)
    assert policy_folder(str(tmp_path / "run")) == run.folder.policy
    policy = LearnedPolicy(hand, run.folder.policy)
    assert policy.card.config["training"]["learner"] == name
    with pytest.raises(InputError, match="other|for hand|87"):
        LearnedPolicy(hand_spec("leap"), tmp_path / "run" / "policy")


def test_a_comparison_on_a_hands_episodes_is_judged_by_the_protocol(tmp_path: Path) -> None:
    folder, out, path = tmp_path / "made", tmp_path / "out", tmp_path / "figures.json"
    write_minari(folder, hand_like(), algorithm="drawn", description={})
    words = f"eval offline --task reorient-yaw60 --data {folder} --learners bc --seeds 1 --steps 3 --episodes 1"
    assert main([*words.split(), "--set", "bc.width=16", "--out", str(out), "--json", str(path)]) == 0
    figures = json.loads(path.read_text())["figures"]
    assert figures["success_bc"] == figures["return_bc"] in (0.0, 1.0)
    assert (out / "bc-0" / "policy" / "card.json").is_file()
    with pytest.raises(InputError, match="they say '' of where they were recorded"):
        elsewhere = replace(hand_like(), environment="")
        compare(Comparison(offline_task("reorient-yaw60"), elsewhere, ["bc"], 1, 3, 1, tmp_path / "no"), print)
    with pytest.raises(InputError, match="no recording is played on a hand"):
        wanted = ["nearest-replay"]
        compare(Comparison(offline_task("reorient-yaw60"), hand_like(), wanted, 1, 3, 1, tmp_path / "no"), print)
    assert not (tmp_path / "no").exists()


def test_training_leaves_its_figures_for_tensorboard_and_draws_their_curve(recorded: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = f"train offline --data {recorded} --learner odice --steps 4 --log-every 2 --run {run}"
    assert main([*words.split(), "--set", "width=16,policy_width=16,batch=32"]) == 0
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    noted = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = events.Scalars("learning/cosine")
    assert [scalar.step for scalar in kept] == [2, 4]
    np.testing.assert_allclose([scalar.value for scalar in kept], [row["cosine"] for row in noted], rtol=1e-5)
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with OfflineView(console, "odice", 4, noted[:1]) as view:
        view.show(noted[1])
        console.print(view.picture())
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "step 4 of 4" in drawn and "cosine" in drawn and ("▁█" in drawn or "█▁" in drawn)


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
    goals = tuple(replace(e, rewards=np.eye(len(e), dtype=np.float32)[-1]) for e in data.episodes)
    for environment, learner, step, goal, raw in (
        ("knuckle/dclaw3", "odice", -1.0, 0.0, False),
        ("knuckle/dclaw3", "td3-bc", 0.0, 1.0, False),
        ("PointMaze_Medium-v3", "odice", -1.0, 0.0, True),
        ("PointMaze_Medium-v3", "iql", -1.0, 0.0, True),
        ("AdroitHandDoor-v1", "odice", 0.0, 1.0, False),
    ):
        found = prepared(replace(data, episodes=goals, environment=environment), learner)
        assert found.episodes[0].rewards[[0, -1]].tolist() == [step, goal] and (found.scale is None) == raw


def test_a_policy_of_ones_own_task_is_exported_when_its_rate_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = hopper_like().transitions()
    own = {name: getattr(rows, name) for name in ("observations", "actions", "rewards", "terminated", "truncated")}
    np.savez(tmp_path / "own.npz", next_observations=rows.next_observations, **own)
    words = (
        f"train offline --data {tmp_path / 'own.npz'} --learner bc --set width=16 --steps 2 --run {tmp_path / 'run'}"
    )
    assert main(words.split()) == 0
    assert "--rate-hz does it" in capsys.readouterr().out and not (tmp_path / "run" / "policy").exists()
    assert main([*words.split(), "--rate-hz", "40"]) == 0
    config = json.loads((tmp_path / "run" / "policy" / "card.json").read_text())
    assert "own" in json.dumps(config) and "40.0" in json.dumps(config)
    acts = ExportedActor(tmp_path / "run" / "policy").act(rows.observations)
    assert acts.shape == (len(rows), 3) and (np.abs(acts) <= 1.0).all()
