"""A run of cloning: it goes on where it ended, asks in the states of the learner, and refuses what it cannot use."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from knuckle.core import orphan
from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.baselines import DoNothing, RandomActions
from knuckle.policy.cloning import clone_command
from knuckle.policy.cloning.clone_command import train_clone
from knuckle.policy.cloning.network_file import read_network
from knuckle.policy.cloning.takeover import AT, Takeover, TakeoverTask
from knuckle.policy.collect.collection import Collection, open_collection
from knuckle.policy.collect.recorder import Episode, record_episode
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.reorient_task import ReorientTask

HAND = hand_spec("dclaw3")
QUICK = (
    "fit.width=8,fit.layers=1,fit.epochs=2,fit.batch=32,rows.hindsight=0,dagger.expert=random,dagger.objects=letters"
)


def collected(path: Path, episodes: int = 4, *, hand: str = "dclaw3") -> Path:
    """A collection of episodes of made-up numbers."""
    collection = Collection(path, {"hand": hand, "rung": "so3"})
    for k in range(episodes):
        rng = np.random.default_rng(k)
        facts = {
            "episode": k,
            "object": "duck",
            "start_angle_rad": 1.0,
            "declared_done": True,
            "dropped": False,
            "succeeded": True,
            "cpu_s": 36.0,
        }
        seen = rng.standard_normal((31, 87)).astype(np.float32)
        angles = np.linspace(1.0, 0.1, 31, dtype=np.float32)
        collection.add(k, Episode(seen, rng.uniform(-1, 1, (30, 9)).astype(np.float32), angles, facts))
    return path


def words(tmp_path: Path, rounds: int, starts: int = 2) -> list[str]:
    settings = f"{QUICK},dagger.rounds={rounds},dagger.episodes={starts},dagger.rungs=yaw60+60"
    return [
        *("--episodes", str(tmp_path / "c"), "--run", str(tmp_path / "run"), "--set", settings),
        *("--judged", "0", "--jobs", "1"),
    ]


def test_a_run_learns_asks_learns_again_and_leaves_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collected(tmp_path / "c")
    judged = ["--judged", "1", "--rungs", "yaw60", "--json", str(tmp_path / "f.json")]
    assert train_clone([*words(tmp_path, 1)[:-4], "--jobs", "1", *judged]) == 0
    said = capsys.readouterr().out
    assert "round 0: 4 episodes, 120 rows" in said and "round 1: 6 episodes" in said and "CPU-hours" in said
    run = tmp_path / "run"
    card = json.loads((run / "policy" / "card.json").read_text())
    assert card["config"]["training"]["method"] == "cloning of the planner, 1 rounds of asking again"
    assert card["config"]["training"]["rows"]["smooth_steps"] == 1.0
    policy = LearnedPolicy(HAND, run / "policy")
    policy.reset(Goal("duck", np.array([1.0, 0.0, 0.0, 0.0])))
    zero, still = np.zeros(9), np.zeros(3)
    action, _ = policy.act(SceneState(0, zero, zero, still, np.array([1.0, 0, 0, 0]), still, still))
    assert action.shape == (9,) and (np.abs(action) <= 1.0).all()
    asked = open_collection(run / "episodes-01")
    assert {episode.facts["rung"] for episode in asked.usable()} == {"yaw60", "60"}
    assert all(0 <= episode.facts[AT] <= len(episode.actions) for episode in asked.usable())
    (protocol,) = card["scores"]
    assert protocol == "yaw60, letters, table, privileged, 1 episodes, seed 1" and "yaw60: 0% [0%, 79%]" in said
    figures = json.loads((tmp_path / "f.json").read_text())["figures"]
    assert figures["yaw60_success_0p4"] == card["scores"][protocol]["success_0p4"] == 0.0
    assert figures["round"] == 1 and figures["collect_cpu_s"] > 4 * 36.0 and figures["learner_succeeded"] == 0.0


def test_a_killed_run_goes_on_with_what_is_there(tmp_path: Path) -> None:
    collected(tmp_path / "c")
    assert train_clone(words(tmp_path, 0)) == 0
    run = tmp_path / "run"
    first = (run / "network-00.safetensors").stat().st_mtime_ns
    # As if it was killed in the midst of asking: one start is there, half of another.
    assert train_clone([*words(tmp_path, 1), "--minutes", "0.0001"]) == 0
    played = open_collection(run / "episodes-01").kept()
    assert not (run / "network-01.safetensors").is_file() and len(played) < 2
    (run / "episodes-01" / "episodes" / ".000001.safetensors.77").write_bytes(b"half")
    assert train_clone(words(tmp_path, 1)) == 0
    whole = [path.read_bytes() for path in sorted((run / "episodes-01" / "episodes").glob("0*"))]
    assert (run / "network-00.safetensors").stat().st_mtime_ns == first and len(whole) == 2
    assert (run / "network-01.safetensors").is_file()
    # And what it learned is what it would have learned in one go.
    again = tmp_path / "again"
    assert train_clone(_in(words(tmp_path, 1), again)) == 0
    seen = np.random.default_rng(0).standard_normal((5, 87))
    one, other = (read_network(folder / "network-01.safetensors", HAND)[0] for folder in (run, again))
    np.testing.assert_array_equal(one.act(seen), other.act(seen))


def test_a_run_of_chunks_leaves_a_policy_of_chunks_and_is_not_learned_twice(tmp_path: Path) -> None:
    collected(tmp_path / "c")
    small = (
        ",chunk.length=6,chunk.executed=2,chunk.judged=0,chunk.width=8,chunk.layers=1,chunk.updates=3,chunk.batch=32"
    )
    argv = words(tmp_path, 0)
    argv[argv.index("--set") + 1] += small
    assert train_clone(argv) == 0
    run = tmp_path / "run"
    learned = (run / "network-00.safetensors").stat().st_mtime_ns
    network = (run / "policy" / "policy.onnx").read_bytes()
    (run / "policy" / "policy.onnx").unlink()  # as if it was killed before it was exported
    assert train_clone(argv) == 0
    assert (run / "network-00.safetensors").stat().st_mtime_ns == learned
    assert (run / "policy" / "policy.onnx").read_bytes() == network
    card = LearnedPolicy(HAND, run / "policy").card.config
    assert card["chunk"] == {"length": 6, "executed": 2, "euler": 4, "judged": 0, "foreseen": 6}
    assert card["training"]["chunk"]["updates"] == 3
    with pytest.raises(InputError, match=r"8 postures of a chunk of 6 are to be executed; 6 at most"):
        train_clone([*argv[: argv.index("--set") + 1], f"{QUICK}{small},chunk.executed=8", *argv[-4:]])
    with pytest.raises(InputError, match=r"8 postures of a chunk of 6 are to be simulated; 6 at most"):
        train_clone([*argv[: argv.index("--set") + 1], f"{QUICK}{small},chunk.foreseen=8", *argv[-4:]])


def _in(argv: list[str], run: Path) -> list[str]:
    at = argv.index("--run") + 1
    return [*argv[:at], str(run), *argv[at + 1 :]]


def test_the_planner_takes_over_at_its_step_with_the_time_that_is_left() -> None:
    learner, planner = RandomActions(HAND, seed=1), RandomActions(HAND, seed=2)
    given: list[Goal] = []
    remember = planner.reset
    planner.reset = lambda goal: (given.append(goal), remember(goal))[1]  # type: ignore[method-assign, func-returns-value]
    both = Takeover(learner, planner, 12)
    both.reset(Goal("duck", np.array([1.0, 0.0, 0.0, 0.0]), time_limit_s=15.0))
    zero, still = np.zeros(9), np.zeros(3)
    state = SceneState(0, zero, zero, still, np.array([1.0, 0, 0, 0]), still, still)
    done = np.array([both.act(state)[0] for _ in range(20)])
    wanted = [np.random.default_rng(seed) for seed in (1, 2)]
    np.testing.assert_array_equal(done[:12], [wanted[0].uniform(-1, 1, 9) for _ in range(12)])
    np.testing.assert_array_equal(done[12:], [wanted[1].uniform(-1, 1, 9) for _ in range(8)])
    assert [goal.time_limit_s for goal in given] == [14.0]


def test_an_episode_taken_over_is_the_learner_s_until_then(tmp_path: Path) -> None:
    collected(tmp_path / "c")
    assert train_clone(words(tmp_path, 0)) == 0
    policy = str(tmp_path / "run" / "policy")
    task = ReorientTask("nothing", objects="letters", rung="60", seed=8)
    episode = TakeoverTask(task, policy, ("yaw60", "60")).record(1)
    at = episode.facts[AT]
    alone = record_episode(task, task.starts(2)[1], LearnedPolicy(HAND, Path(policy)), {})
    assert episode.facts["rung"] == "60" and episode.facts["learner_succeeded"] is False
    np.testing.assert_array_equal(episode.actions[:at], alone.actions[:at])
    np.testing.assert_array_equal(episode.actions[at:], 0.0)
    assert at <= int(alone.angles.argmin()) + 12
    assert isinstance(task.policy(0), DoNothing)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--episodes", "none"], "none: no collection is here; the --out of a knuckle collect"),
        (["--episodes", "+"], "--episodes: no episodes; folders of knuckle collect"),
        (["--episodes", "four"], "four: episodes of dclaw4; episodes of dclaw3"),
        (["--episodes", "empty"], "empty: no episode was finished; more --minutes"),
        (["--set", "fit.widht=3"], "--set fit: unknown setting 'widht'; did you mean 'width'?"),
        (["--set", "width=3"], "--set width: unknown part ''; known: chunk, dagger, done, fit, rows"),
        (["--set", "fit.width=0"], "out of range"),
        (["--set", "dagger.rungs=yaw61"], "unknown rung 'yaw61'; did you mean 'yaw60'?"),
        (["--rungs", "so4"], "--rungs: unknown rung 'so4'; did you mean 'so3'?"),
        (["--hand", "dclaw5"], "--hand: unknown hand 'dclaw5'"),
        (["--run", "/proc/c"], "the run cannot be written there"),
    ],
)
def test_bad_input_is_one_clear_line(
    argv: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    collected(tmp_path / "c")
    collected(tmp_path / "four", hand="dclaw4")
    collected(tmp_path / "empty", episodes=0)
    with pytest.raises(InputError) as caught:
        train_clone(["--episodes", "c", "--run", "run", *argv])
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "policy").exists()


def test_other_settings_do_not_go_on_with_a_run_but_more_rounds_do(tmp_path: Path) -> None:
    collected(tmp_path / "c")
    assert train_clone(words(tmp_path, 0)) == 0
    with pytest.raises(InputError, match="the run here has seed 0, not 1; the same settings, or another --run"):
        train_clone([*words(tmp_path, 0), "--seed", "1"])
    # Before anything was asked, how it is asked is open; afterwards only how often.
    assert (
        train_clone([*words(tmp_path, 0)[:-4], "--judged", "0", "--set", f"{QUICK},dagger.rounds=0,dagger.rungs=so3"])
        == 0
    )
    asked = Collection(tmp_path / "run" / "episodes-01", {})
    with pytest.raises(InputError, match="the run here has dagger .*'so3'.*, not .*'yaw60\\+60'"):
        train_clone(words(tmp_path, 0))
    assert asked.kept() == []
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(InputError, match="the settings cannot be read"):
        train_clone(words(tmp_path, 0))


def test_an_episode_half_written_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collected(tmp_path / "c", episodes=5)
    file = tmp_path / "c" / "episodes" / "000004.safetensors"
    file.write_bytes(file.read_bytes()[:600])
    assert train_clone(words(tmp_path, 0)) == 0
    said = capsys.readouterr().out
    assert said.count("left out") == 1 and "000004.safetensors: the episode cannot be read" in said
    assert "round 0: 4 episodes" in said


def test_a_disk_that_fills_ends_the_run_in_one_line_and_what_was_collected_stays(tmp_path: Path) -> None:
    collected(tmp_path / "c")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
        with pytest.raises(RunError, match=r"network-00\.safetensors: the network cannot be written \(.*\); room on"):
            train_clone(words(tmp_path, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(open_collection(tmp_path / "c").usable()) == 4
    assert [path.name for path in (tmp_path / "run").glob("*.safetensors")] == []
    assert train_clone(words(tmp_path, 0)) == 0


def test_a_network_file_that_is_broken_is_named(tmp_path: Path) -> None:
    collected(tmp_path / "c")
    assert train_clone(words(tmp_path, 0)) == 0
    (tmp_path / "run" / "network-00.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match=r"network-00\.safetensors: the network cannot be read .* learned again"):
        train_clone(words(tmp_path, 0))


def test_the_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_clone(["--settings"]) == 0
    said = capsys.readouterr().out
    assert "rows.smooth_steps" in said and "dagger.rounds" in said and "fit.width" in said
    assert clone_command.TrainClone().run == "runs/reorient-clone"


def test_a_worker_ends_when_who_started_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, ended = threading.Event(), threading.Event()

    class Parent:
        def join(self) -> None:
            gone.wait()

    monkeypatch.setattr(orphan.multiprocessing, "parent_process", Parent)
    monkeypatch.setattr(orphan.os, "_exit", lambda _code: ended.set())
    orphan.end_with_parent()
    assert not ended.is_set()
    gone.set()
    assert ended.wait(60.0)
