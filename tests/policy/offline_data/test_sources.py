"""Data of every kind that is read: what comes back is what was there, and what is broken is one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage
from stable_baselines3.common.buffers import ReplayBuffer

from knuckle.core.errors import InputError
from knuckle.policy.collect.minari_dataset import write_dataset
from knuckle.policy.collect.recorder import Episode as Collected
from knuckle.policy.offline_data.d4rl_file import read_d4rl
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.door import door_demonstrations, door_starts
from knuckle.policy.offline_data.flat_rows import from_arrays, read_arrays
from knuckle.policy.offline_data.minari_folder import read_minari, write_minari
from knuckle.policy.offline_data.open_data import open_data
from knuckle.policy.offline_data.sb3_buffer import from_replay_buffer


def same(a: Dataset, b: Dataset) -> None:
    assert len(a.episodes) == len(b.episodes)
    for one, other in zip(a.episodes, b.episodes, strict=True):
        for name in ("observations", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.terminated == other.terminated and one.succeeded == other.succeeded


def test_a_minari_folder_gives_back_what_was_written_and_minari_reads_it_too(data: Dataset, tmp_path: Path) -> None:
    write_minari(tmp_path / "made-v0", data, algorithm="nobody", description={"seed": 3})
    again = read_minari(tmp_path / "made-v0")
    same(again, data)
    assert (again.name, again.environment) == ("made", "Made-v0")
    assert again.low.tolist() == [-1, -1] and [p.name for p in tmp_path.iterdir()] == ["made-v0"]
    theirs = minari.MinariDataset(tmp_path / "made-v0")
    assert theirs.total_steps == data.steps and theirs.total_episodes == 4
    last = list(theirs.iterate_episodes())[-1]
    assert last.terminations[-1] and not last.truncations.any()
    np.testing.assert_array_equal(last.observations, data.episodes[-1].observations)


def test_nothing_is_written_over_and_scaled_data_are_not_kept(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="something is there already"):
        write_minari(tmp_path / "there", data, algorithm="", description={})
    for scaled in (data.scale_rewards(), data.normalise_observations()):
        with pytest.raises(InputError, match="the data set is scaled"):
            write_minari(tmp_path / "scaled", scaled, algorithm="", description={})
    assert not (tmp_path / "scaled").exists()


Spoil = Callable[[Path], None]


def _metadata(**change: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        raw = json.loads((folder / "metadata.json").read_text())
        raw = {name: value for name, value in (raw | change).items() if value is not None}
        (folder / "metadata.json").write_text(json.dumps(raw))

    return spoil


def _stored(change: Callable[[Any], None]) -> Spoil:
    def spoil(folder: Path) -> None:
        with h5py.File(folder / "main_data.hdf5", "a") as stored:
            change(stored)

    return spoil


def _replaced(name: str, value: Any) -> Spoil:
    def change(stored: Any) -> None:
        del stored[name]
        stored[name] = value

    return _stored(change)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "metadata.json").unlink(), "its metadata cannot be read"),
        (lambda folder: (folder / "metadata.json").write_text("{"), "its metadata cannot be read"),
        (lambda folder: (folder / "metadata.json").write_text("[]"), "its metadata lack total_episodes"),
        (lambda folder: (folder / "main_data.hdf5").unlink(), "its episodes cannot be read"),
        (lambda folder: (folder / "main_data.hdf5").write_bytes(b"half"), "its episodes cannot be read"),
        (_metadata(total_episodes=0), "no episode was written to it"),
        (_metadata(total_episodes=5), "its episodes cannot be read"),
        (_metadata(total_steps=99), "its metadata promise 99 steps and 18 are there"),
        (_metadata(action_space=None), "its metadata lack action_space"),
        (_metadata(data_format="odd"), "its episodes cannot be read"),
        (_stored(lambda stored: stored.__delitem__("episode_2")), "its episodes cannot be read"),
        (_stored(lambda stored: stored["episode_1"].__delitem__("actions")), "its episodes cannot be read"),
        (_replaced("episode_0/rewards", np.zeros(2)), "2 rewards, 3 terminations and 3 truncations"),
        (_replaced("episode_0/truncations", np.array([True, False, True])), "it ends at step 0 and goes on"),
        (_replaced("episode_0/observations", np.full((4, 3), np.nan)), "episode 0: row 0 of observations"),
        (_replaced("episode_0/observations", np.zeros((3, 3))), "3 observations, 3 actions and 3 rewards"),
        (_replaced("episode_0/actions", np.full((3, 2), 1.5)), "action 0 of step 0 in episode 0 is 1.5"),
    ],
)
def test_a_half_written_or_broken_minari_folder_is_refused_in_one_line(
    data: Dataset, tmp_path: Path, spoil: Spoil, said: str
) -> None:
    write_minari(tmp_path / "made-v0", data, algorithm="", description={})
    spoil(tmp_path / "made-v0")
    with pytest.raises(InputError, match=said) as refused:
        read_minari(tmp_path / "made-v0")
    assert "\n" not in str(refused.value)


def test_minari_data_of_others_say_success_in_their_infos(tmp_path: Path) -> None:
    box = spaces.Box(-np.inf, np.inf, (2,), np.float64), spaces.Box(-2.0, 2.0, (1,), np.float32)
    storage = MinariStorage.new(tmp_path / "theirs", *box)
    storage.update_metadata({"dataset_id": "theirs/some-v1", "minari_version": minari.__version__})
    ends = np.array([False, True])
    buffers = [
        EpisodeBuffer(
            observations=np.zeros((3, 2)),
            actions=np.full((2, 1), 2.0),
            rewards=[0.0, 1.0],
            terminations=[False, False],
            truncations=ends,
            infos={"success": np.array([False, won, False])},
        )
        for won in (True, False)
    ]
    storage.update_episodes(buffers)
    theirs = read_minari(tmp_path / "theirs")
    assert [e.succeeded for e in theirs.episodes] == [True, False] and theirs.name == "theirs/some-v1"


def test_spaces_that_are_no_boxes_are_refused(tmp_path: Path) -> None:
    storage = MinariStorage.new(tmp_path / "d", spaces.Discrete(3), spaces.Discrete(2))
    storage.update_metadata({"dataset_id": "d-v0", "minari_version": minari.__version__, "total_episodes": 1})
    with pytest.raises(InputError, match="its observation_space is Discrete"):
        read_minari(tmp_path / "d")


def rows_of(data: Dataset) -> dict[str, Any]:
    rows = data.transitions()
    return {
        "observations": rows.observations,
        "actions": rows.actions,
        "rewards": rows.rewards,
        "terminals": rows.terminated,
        "timeouts": rows.truncated,
        "next_observations": rows.next_observations,
    }


def written(path: Path, arrays: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as stored:
        for name, array in arrays.items():
            stored[name] = array
    return path


def test_a_d4rl_file_with_next_observations_loses_nothing(data: Dataset, tmp_path: Path) -> None:
    again = read_d4rl(written(tmp_path / "some.hdf5", rows_of(data)))
    assert [e.terminated for e in again.episodes] == [False, True, False, True]
    for one, other in zip(again.episodes, data.episodes, strict=True):
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.actions, other.actions)


def test_a_d4rl_file_without_next_observations_drops_what_follows_a_timeout(data: Dataset, tmp_path: Path) -> None:
    arrays = rows_of(data)
    del arrays["next_observations"]
    again = read_d4rl(written(tmp_path / "some.hdf5", arrays))
    # Cut episodes lose the step whose end nobody saw; terminated ones keep it, for nothing is worth anything there.
    assert [len(e) for e in again.episodes] == [2, 4, 4, 6]
    np.testing.assert_array_equal(again.episodes[0].observations, data.episodes[0].observations[:3])
    # The same steps as D4RL's qlearning_dataset gives: all but those at timeouts.
    ours, theirs = again.transitions(), data.transitions(timeouts="drop")
    np.testing.assert_array_equal(ours.rewards, theirs.rewards)
    alive = ~theirs.terminated
    np.testing.assert_array_equal(ours.next_observations[alive], theirs.next_observations[alive])


def test_an_old_d4rl_file_needs_the_time_limit(data: Dataset, tmp_path: Path) -> None:
    arrays = rows_of(data)
    del arrays["timeouts"]
    path = written(
        tmp_path / "old.hdf5", arrays | {"terminals": np.zeros(18), "next_observations": arrays["observations"]}
    )
    with pytest.raises(InputError, match="does not say where episodes were cut off"):
        read_d4rl(path)
    del arrays["next_observations"]
    cut = read_d4rl(written(tmp_path / "older.hdf5", arrays | {"terminals": np.zeros(18)}), time_limit=6)
    assert [len(e) for e in cut.episodes] == [5, 5, 5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"actions": np.zeros((17, 2))}, "17 actions for 18 observations"),
        ({"rewards": np.full(18, np.nan)}, "row 0 of rewards is not finite"),
        ({"actions": np.full((18, 2), 3.0)}, "is 3; -1 to 1"),
        ({"next_observations": np.zeros((18, 4))}, "next observations"),
        ({"terminals": None}, "no terminals in it"),
    ],
)
def test_a_broken_d4rl_file_is_refused(data: Dataset, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    arrays = {name: array for name, array in (rows_of(data) | change).items() if array is not None}
    with pytest.raises(InputError, match=said):
        read_d4rl(written(tmp_path / "bad.hdf5", arrays))
    (tmp_path / "bad.hdf5").write_bytes(b"no hdf5")
    with pytest.raises(InputError, match="the file cannot be read"):
        read_d4rl(tmp_path / "bad.hdf5")


def test_rows_that_do_not_go_on_from_one_another_end_an_episode() -> None:
    seen = np.arange(6.0)[:, None]
    after = seen + 1.0
    after[2] = 77.0  # a reset that no flag tells of
    none = np.zeros(6, dtype=bool)
    made = from_arrays(seen, np.zeros((6, 1)), np.ones(6), none, none, next_observations=after)
    assert [len(e) for e in made.episodes] == [3, 3] and made.episodes[0].observations[-1, 0] == 77.0
    assert not any(e.terminated for e in made.episodes)
    with pytest.raises(InputError, match="no episode in it"):
        from_arrays(seen[:1], np.zeros((1, 1)), np.ones(1), none[:1], none[:1])


def filled(size: int, steps: int, *, low: float = -1.0, high: float = 1.0, envs: int = 1) -> ReplayBuffer:
    """A buffer of a counter: episodes of 4 steps, the odd ones terminated and the others cut by the time limit."""
    buffer = ReplayBuffer(size, spaces.Box(-9e9, 9e9, (1,)), spaces.Box(low, high, (1,)), "cpu", n_envs=envs)
    for k in range(steps):
        end, number = k % 4 == 3, k // 4
        timeout = end and number % 2 == 0
        seen, after = (np.full((envs, 1), x) for x in (10 * number + k % 4, 10 * number + k % 4 + 1))
        infos = [{"TimeLimit.truncated": timeout}] * envs
        buffer.add(seen, after, np.full((envs, 1), 0.5), np.full(envs, k), np.full(envs, end), infos)
    return buffer


def test_a_replay_buffer_keeps_its_ends_apart_and_its_last_observations() -> None:
    made = from_replay_buffer(filled(100, 10, low=-2.0, high=4.0, envs=2))
    assert [len(e) for e in made.episodes] == [4, 4, 2] * 2
    assert [e.terminated for e in made.episodes] == [False, True, False] * 2
    assert made.episodes[0].facts["time_limit"] and not made.episodes[2].facts["time_limit"]
    assert made.episodes[0].observations[:, 0].tolist() == [0, 1, 2, 3, 4]
    # SAC keeps actions in -1 to 1: 0.5 of -2 to 4 is 2.5.
    assert made.episodes[0].actions[0, 0] == pytest.approx(2.5)
    raw = from_replay_buffer(filled(100, 10, low=-2.0, high=4.0), scaled=False)
    assert raw.episodes[0].actions[0, 0] == pytest.approx(0.5)


def test_a_replay_buffer_that_went_round_begins_with_its_oldest_step() -> None:
    made = from_replay_buffer(filled(8, 14))
    rewards = np.concatenate([e.rewards for e in made.episodes])
    assert rewards.tolist() == list(range(6, 14)) and [len(e) for e in made.episodes] == [2, 4, 2]


def test_replay_buffers_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a pickled buffer is not read"):
        from_replay_buffer(tmp_path / "buffer.pkl")
    with pytest.raises(InputError, match="nothing is in it"):
        from_replay_buffer(filled(8, 0))
    box = spaces.Box(-1, 1, (1,))
    small = ReplayBuffer(8, box, box, "cpu", optimize_memory_usage=True, handle_timeout_termination=False)
    with pytest.raises(InputError, match="no observation after an episode's end"):
        from_replay_buffer(small)
    with pytest.raises(InputError, match="its action_space is Discrete"):
        from_replay_buffer(ReplayBuffer(8, box, spaces.Discrete(2), "cpu"))
    with pytest.raises(InputError, match="its observation_space is None"):
        from_replay_buffer(object())


def demonstrations(path: Path, **change: Any) -> Path:
    rng, lengths = np.random.default_rng(0), np.array([4, 3])
    arrays = {
        "episode_length": lengths,
        "observations": rng.standard_normal((7, 39)),
        "actions": 1.3 * rng.uniform(-1, 1, (7, 28)),
        "rewards": np.arange(7.0),
        "init_qpos": np.zeros((2, 30)),
        "init_qvel": np.zeros((2, 30)),
        "init_door_body_pos": np.zeros((2, 3)),
    }
    arrays["observations"][:, 28] = [0, 0, 1.4, 0, 0, 0, 1.2]
    np.savez(path, **(arrays | change))
    return path


def test_demonstrations_without_a_last_observation_lose_their_last_action(tmp_path: Path) -> None:
    made = door_demonstrations(demonstrations(tmp_path / "door.npz"))
    assert [len(e) for e in made.episodes] == [3, 2]
    assert made.episodes[0].rewards.tolist() == [0, 1, 2] and made.episodes[1].rewards.tolist() == [4, 5]
    assert [e.succeeded for e in made.episodes] == [True, False] and not made.episodes[0].terminated
    assert max(np.abs(e.actions).max() for e in made.episodes) == 1.0
    same(made, open_data(str(tmp_path / "door.npz")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"actions": np.zeros((6, 28))}, "6 actions for episodes of 7 steps"),
        ({"observations": np.full((7, 39), np.nan)}, "is not finite"),
        ({"observations": np.zeros((7, 38))}, "38 observations and 28 actions; the 39 and 28 of door"),
        ({"episode_length": np.array(["a", "b"], dtype=object)}, "cannot be read"),
    ],
)
def test_broken_demonstrations_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        door_demonstrations(demonstrations(tmp_path / "door.npz", **change))
    (tmp_path / "door.npz").write_bytes(b"no npz")
    for read in (door_demonstrations, read_arrays):
        with pytest.raises(InputError, match="cannot be read"):
            read(tmp_path / "door.npz")


def test_arrays_in_an_npz_are_read_by_their_names(data: Dataset, tmp_path: Path) -> None:
    rows = data.transitions()
    names = ("observations", "actions", "rewards", "terminated", "truncated", "next_observations")
    arrays = {name: getattr(rows, name) for name in names}
    np.savez(tmp_path / "mine.npz", **arrays)
    made = open_data(str(tmp_path / "mine.npz"))
    assert made.name == "mine" and [len(e) for e in made.episodes] == [len(e) for e in data.episodes]
    np.savez(tmp_path / "wide.npz", **arrays, low=np.array(-2.0), high=np.array([2.0, 3.0]))
    assert open_data(str(tmp_path / "wide.npz")).high.tolist() == [2.0, 3.0]
    np.savez(tmp_path / "less.npz", observations=rows.observations)
    with pytest.raises(InputError, match="no actions, rewards, terminated, truncated in it"):
        open_data(str(tmp_path / "less.npz"))


def test_a_collection_of_the_planners_is_read_with_its_ends_and_successes(tmp_path: Path) -> None:
    rng, episodes = np.random.default_rng(0), []
    for k, (declared, dropped, won) in enumerate(((True, False, True), (False, True, False), (False, False, False))):
        facts = {"placement_seed": k, "declared_done": declared, "dropped": dropped, "succeeded": won}
        seen, done = rng.standard_normal((4, 87)).astype(np.float32), rng.uniform(-1, 1, (3, 9)).astype(np.float32)
        episodes.append(Collected(seen, done, seen[:, 0], facts))
    told = {"hand": "dclaw3", "world": "table"}
    (tmp_path / "some").mkdir()
    write_dataset(tmp_path / "some" / "minari", episodes, name="knuckle/some-v0", controller="mpc", description=told)
    made = open_data(str(tmp_path / "some"))
    assert (made.name, made.environment, made.observations, made.actions) == ("some", "knuckle/dclaw3", 87, 9)
    assert [e.terminated for e in made.episodes] == [True, True, False]
    assert [e.succeeded for e in made.episodes] == [True, False, False]
    assert [bool(e.facts["time_limit"]) for e in made.episodes] == [False, False, True]
    assert [e.total for e in made.episodes] == [1.0, 0.0, 0.0]


@pytest.mark.data
def test_the_given_demonstrations_are_those_of_the_paper(data_folder: Path) -> None:
    path = data_folder / "dapg" / "door_human_25.npz"
    made = door_demonstrations(path)
    assert len(made.episodes) == 25 and made.steps == 6729 - 25
    assert len(door_starts(path)) == 25
    assert 780 < made.returns().mean() < 794  # 794 with the rewards of the last actions


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "no such data set"),
        ("empty", "no finished data set is in it"),
        ("buffer.pkl", "a pickle is not read"),
        ("agent.zip", "an agent is no data"),
        ("notes.txt", "a file of kind '.txt'"),
    ],
)
def test_what_is_no_data_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    for file in ("buffer.pkl", "agent.zip", "notes.txt"):
        (tmp_path / file).write_bytes(b"x")
    with pytest.raises(InputError, match=said):
        open_data(str(tmp_path / name))


def test_data_are_found_by_name_and_in_a_collection(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_minari(tmp_path / "runs" / "offline" / "made-v0", data, algorithm="", description={})
    same(open_data("made-v0"), data)
    (tmp_path / "collected").mkdir()
    shutil.copytree(tmp_path / "runs" / "offline" / "made-v0", tmp_path / "collected" / "minari")
    assert open_data("collected").name == "collected"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "downloads"))
    write_minari(tmp_path / "downloads" / "D4RL" / "x" / "data", replace(data, name="x"), algorithm="", description={})
    assert open_data("D4RL/x").name == "x"
