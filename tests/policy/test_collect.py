"""Collected episodes: what a learner sees of them, how a killed collection goes on, and what it says of itself."""

from __future__ import annotations

import json
import resource
from functools import partial
from pathlib import Path

import minari
import numpy as np
import pytest
from rich.console import Console

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.collect import collect_command, minari_dataset
from knuckle.policy.collect.collect_command import collect
from knuckle.policy.collect.collection import Collection
from knuckle.policy.collect.describe import describe
from knuckle.policy.collect.minari_dataset import write_dataset
from knuckle.policy.collect.recorder import Episode, record
from knuckle.policy.reorient_task import ReorientTask
from knuckle.sim.reorient.observation import ReorientObservation

HAND = hand_spec("dclaw3")
TASK = ReorientTask(controller="random", objects="letters", rung="yaw60", seed=4)
WORDS = ["--controller", "random", "--objects", "letters", "--rung", "yaw60", "--seed", "4", "--jobs", "1"]


def made(k: int, *, succeeded: bool = True, steps: int = 5, thing: str = "duck", angle: float = 0.6) -> Episode:
    rng = np.random.default_rng(k)
    facts = {
        "episode": k,
        "object": thing,
        "placement_seed": k,
        "goal": [1.0, 0.0, 0.0, 0.0],
        "start_angle_rad": angle,
        "declared_done": succeeded,
        "dropped": False,
        "succeeded": succeeded,
        "cpu_s": 36.0,
    }
    seen = rng.standard_normal((steps + 1, 87)).astype(np.float32)
    return Episode(seen, rng.uniform(-1, 1, (steps, 9)).astype(np.float32), seen[:, 0], facts)


def test_a_recorded_episode_holds_what_was_seen_and_done_and_can_be_played_again() -> None:
    episode, again = record(TASK, 2), record(TASK, 2)
    np.testing.assert_array_equal(episode.observations, again.observations)
    np.testing.assert_array_equal(episode.actions, again.actions)
    assert episode.observations.shape == (len(episode.actions) + 1, 87)
    # Each observation holds the smoothed action before it, and the goal that stands in the facts.
    part, smoothed = ReorientObservation(HAND).slices, np.zeros(9)
    for k, action in enumerate(episode.actions):
        np.testing.assert_allclose(episode.observations[k, part["previous_action"]], smoothed, atol=1e-6)
        smoothed = ActionMap(HAND).smooth(action, smoothed)
    goal = np.array(episode.facts["goal"])
    np.testing.assert_allclose(np.abs(episode.observations[0, part["goal_quaternion"]] @ goal), 1.0, atol=1e-6)
    assert episode.angles[0] == pytest.approx(episode.facts["start_angle_rad"], abs=1e-6)
    assert np.isfinite(episode.observations).all() and not episode.facts["succeeded"]


def test_the_command_leaves_a_data_set_that_minari_reads_and_goes_on_with_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "some"
    assert collect([*WORDS, "--out", str(out), "--episodes", "2"]) == 0
    first = (out / "episodes" / "000000.safetensors").read_bytes()
    (out / "episodes" / "000001.safetensors").unlink()
    (out / "episodes" / ".000001.safetensors.77").write_bytes(b"half")  # what a kill leaves
    assert collect([*WORDS, "--out", str(out), "--episodes", "3"]) == 0
    assert "goes on after 1 episodes" in capsys.readouterr().out
    assert (out / "episodes" / "000000.safetensors").read_bytes() == first
    told = json.loads((out / "description.json").read_text())
    assert told["episodes"] == 3 and sum(told["episodes_by_start_angle"]) == 3 and told["controller"] == "random"
    assert sum(told["episodes_by_object"].values()) == 3
    dataset = minari.MinariDataset(out / "minari")
    alone = record(TASK, 1)
    stored = dataset[1]
    np.testing.assert_array_equal(stored.observations, alone.observations)
    np.testing.assert_array_equal(stored.actions, alone.actions)
    assert dataset.total_episodes == 3 and dataset.total_steps == told["steps"]
    with pytest.raises(InputError, match="the collection here has rung yaw60, not 60"):
        collect([*WORDS, "--out", str(out), "--rung", "60"])


def test_success_pays_with_the_last_step_and_ends_are_told_apart(tmp_path: Path) -> None:
    episodes = [made(0), made(1, succeeded=False)]
    write_dataset(tmp_path / "d", episodes, name="knuckle/d-v0", controller="mpc", description={"rung": "so3"})
    won, lost = minari.MinariDataset(tmp_path / "d").iterate_episodes()
    assert list(won.rewards) == [0, 0, 0, 0, 1] and list(lost.rewards) == [0] * 5
    assert won.terminations[-1] and not won.truncations[-1] and lost.truncations[-1] and not lost.terminations[-1]
    np.testing.assert_array_equal(won.infos["angle_rad"], episodes[0].angles)


def test_a_full_disk_leaves_the_data_set_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "d", [made(0)], name="knuckle/d-v0", controller="mpc", description={})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(minari_dataset.MinariStorage, "new", full)
    with pytest.raises(RunError, match=r"the data set cannot be written \(No space left on device\); room"):
        write_dataset(tmp_path / "d", [made(1)], name="knuckle/d-v0", controller="mpc", description={})
    assert minari.MinariDataset(tmp_path / "d").total_episodes == 1
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_what_a_killed_run_left_of_a_data_set_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".d.77").mkdir()
    (tmp_path / ".d.77" / "main_data.hdf5").write_bytes(b"half")
    write_dataset(tmp_path / "d", [made(0)], name="knuckle/d-v0", controller="mpc", description={})
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_an_episode_that_is_broken_is_named(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "c", {"rung": "so3"})
    collection.add(0, made(0))
    assert collection.missing(3) == [1, 2] and collection.kept() == [0]
    np.testing.assert_array_equal(collection.read(0).actions, made(0).actions)
    assert collection.read(0).facts == made(0).facts
    collection.file(0).write_bytes(b"short")
    with pytest.raises(InputError, match=r"000000\.safetensors: the episode cannot be read .*; delete it"):
        collection.read(0)


def test_the_default_folder_is_a_relative_one_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert collect([*WORDS, "--out", "some/where", "--episodes", "1"]) == 0
    assert minari.MinariDataset("some/where/minari").total_episodes == 1
    assert {path.name for path in Path("some/where").iterdir()} == {
        "collection.json",
        "coverage.svg",
        "description.json",
        "episodes",
        "minari",
    }


def test_a_collection_says_again_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collection = Collection(tmp_path / "c", {"rung": "so3", "seed": 3})
    for k, episode in enumerate([made(0), made(1, succeeded=False, angle=3.0)]):
        collection.add(k, episode)
    collection.file(2).write_bytes(b"half of an episode")
    before = sorted(path.name for path in collection.path.iterdir())
    assert collect(["--describe", str(tmp_path / "c")]) == 0
    said = capsys.readouterr().out
    assert "2 episodes, 10 steps, 50% [9%, 91%] succeeded (1 succeeded, 1 timed out), 0.02 CPU-hours" in said
    assert "rung so3 seed 3" in said and "1 of 1" in said and "duck" in said
    assert "left out" in said and "000002.safetensors: the episode cannot be read" in said
    assert sorted(path.name for path in collection.path.iterdir()) == before
    with pytest.raises(InputError, match="no collection is here; the --out of a knuckle collect"):
        collect(["--describe", str(tmp_path / "d")])


def test_where_the_goal_turns_and_how_the_object_lies_are_counted() -> None:
    part = ReorientObservation(HAND).slices
    seen = np.zeros((2, 87), dtype=np.float32)
    half = np.float32(np.sqrt(0.5))
    seen[:, part["object_quaternion"]] = [half, half, 0, 0]  # turned about x by 90 degrees: its y axis points up
    seen[:, part["quaternion_difference"]] = [0.8, 0.0, 0.0, -0.6]
    upright = Episode(seen, np.zeros((1, 9), np.float32), seen[:, 0], made(0).facts)
    told = describe([upright])
    assert told["episodes_by_face_up"] == {"+y": 1} and told["episodes_by_axis_tilt"] == [1, 0, 0]
    seen[:, part["quaternion_difference"]] = [0.8, 0.6, 0.0, 0.0]
    assert describe([upright])["episodes_by_axis_tilt"] == [0, 0, 1]


def test_a_disk_that_fills_ends_the_collection_and_what_was_collected_stays(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "c", {})
    collection.add(0, made(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        with pytest.raises(
            RunError, match=r"000001.safetensors: the episode cannot be written \(.*\); room on the disk"
        ):
            collection.add(1, made(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert collection.kept() == [0] and collection.missing(2) == [1]
    assert [path.name for path in (collection.path / "episodes").iterdir()] == ["000000.safetensors"]
    np.testing.assert_array_equal(collection.usable()[0].actions, made(0).actions)


def play_or_break(broken: tuple[int, ...], k: int) -> Episode:
    if k in broken:
        raise RunError("the simulation broke down at 1.000 s: object pose not finite", where="world")
    return made(k)


def test_an_episode_whose_world_breaks_is_noted_and_the_others_are_kept(tmp_path: Path) -> None:
    collection, quiet = Collection(tmp_path / "c", {}), Console(quiet=True)
    play = partial(play_or_break, (1,))
    collect_command.play_missing(collection, play, 3, jobs=1, minutes=0.0, console=quiet, name="x")
    assert collection.kept() == [0, 2] and collection.broken() == [1] and collection.missing(3) == []
    assert collection.described()["broken_down"] == 1
    play = partial(play_or_break, tuple(range(3, 99)))
    with pytest.raises(RunError, match="5 of 7 episodes broke down, the last one with: world: the simulation broke"):
        collect_command.play_missing(collection, play, 99, jobs=1, minutes=0.0, console=quiet, name="x")
    assert collection.kept() == [0, 2] and len(collection.usable()) == 2


def test_the_description_counts_by_angle_and_object() -> None:
    told = describe([made(0), made(1, succeeded=False, angle=3.0), made(2, thing="truck", angle=2.0)])
    assert told["episodes_by_start_angle"] == [0, 1, 0, 1, 0, 1]
    assert told["succeeded_by_start_angle"] == [0, 1, 0, 1, 0, 0]
    assert told["succeeded_by_object"] == {"duck": 1, "truck": 1} and told["episodes_by_object"]["duck"] == 2
    assert told["cpu_hours"] == 0.03 and told["steps"] == 15 and told["success_0p4"] == pytest.approx(2 / 3)


def test_no_episode_is_begun_after_the_minutes_are_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(k) for k in range(0, 10_000, 100))
    monkeypatch.setattr(collect_command.time, "perf_counter", lambda: next(clock))
    collection = Collection(tmp_path / "c", {})
    quiet = Console(quiet=True)
    collect_command.play_missing(collection, partial(record, TASK), 5, jobs=1, minutes=2.0, console=quiet, name="x")
    assert collection.kept() == [0]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--controller", "mpd"], "--controller: unknown controller 'mpd'; did you mean 'mpc'?"),
        (["--rung", "yaw90"], "unknown rung 'yaw90'; did you mean 'yaw60'?"),
        (["--objects", "leters"], "--objects: unknown object or family 'leters'"),
        (["--planner", "samples"], "--planner: 'samples'; name=value, separated by commas"),
        (["--out", "/proc/c", "--controller", "random"], "the collection cannot be written there"),
    ],
)
def test_bad_input_is_one_clear_line(
    argv: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        collect(argv)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
