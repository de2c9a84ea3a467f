"""Recording: what an agent met is kept whole, the same under a seed, and a training leaves all it saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO, SAC

from knuckle.core.array_file import read_arrays
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.offline_data import training_record
from knuckle.policy.offline_data.batch_recording import record_batch
from knuckle.policy.offline_data.episode import Episode
from knuckle.policy.offline_data.recording import RandomAgent, RecordingEnv, record
from knuckle.policy.offline_data.sb3_actor import model_actor
from knuckle.policy.offline_data.sb3_buffer import from_replay_buffer
from knuckle.policy.offline_data.training_record import read_parts, record_training
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld

ONE = np.ones(1, dtype=np.float32)


class Counter(gymnasium.Env[Any, Any]):
    """Counts steps from a drawn number; ends after 5 of them where the number is odd, else goes on to its limit of 7.

    Its step says what was played, so that a test sees it.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.first, self.age = int(self.np_random.integers(1000)), 0
        return np.array([self.first, 0.0]), {}

    def step(self, action: Any) -> Any:
        self.age += 1
        over = self.first % 2 == 1 and self.age == 5
        info = {"success": self.age == 3 and self.first % 3 == 0}
        return np.array([self.first, self.age], dtype=float), float(action[0]), over, self.age == 7, info


def test_every_episode_is_kept_with_its_last_observation_and_its_own_end() -> None:
    made = record(RandomAgent(-ONE, ONE, 0), Counter, name="counted", steps=200, seed=3, worlds=4)
    assert made.steps == 200
    for episode in made.episodes:
        first = int(episode.observations[0, 0])
        assert episode.observations[:, 1].tolist() == list(range(len(episode) + 1))
        np.testing.assert_array_equal(episode.rewards, episode.actions[:, 0])
        assert episode.terminated == (first % 2 == 1 and len(episode) == 5)
        assert episode.facts["time_limit"] == (len(episode) == 7)
        assert episode.succeeded == (first % 3 == 0 and len(episode) >= 3)
    ended = {(e.terminated, bool(e.facts["time_limit"])) for e in made.episodes}
    assert ended == {(True, False), (False, True), (False, False)}  # the last: cut when the recording ended


def test_the_same_seed_gives_the_same_data_and_another_does_not() -> None:
    def play(seed: int, steps: int = 60) -> Any:
        return record(RandomAgent(-ONE, ONE, 0), Counter, name="x", steps=steps, seed=seed, worlds=3)

    one, again, other = play(1), play(1), play(2)
    rows = [made.transitions() for made in (one, again, other)]
    np.testing.assert_array_equal(rows[0].observations, rows[1].observations)
    np.testing.assert_array_equal(rows[0].actions, rows[1].actions)
    assert not np.array_equal(rows[0].actions, rows[2].actions)
    assert play(1, steps=1).steps == 1


def test_noise_is_added_and_stays_inside_the_space() -> None:
    class Still:
        def act(self, observations: Any, rng: Any = None) -> Any:
            return np.zeros((len(observations), 1), dtype=np.float32)

    quiet = record(Still(), Counter, name="x", steps=400, seed=0)
    loud = record(Still(), Counter, name="x", steps=400, seed=0, noise=0.5)
    assert not quiet.transitions().actions.any()
    played = loud.transitions().actions
    assert 0.4 < played.std() < 0.5 and np.abs(played).max() == 1.0  # cut at the bounds


def test_an_agent_for_other_actions_and_an_environment_of_images_are_refused() -> None:
    two = np.ones(2, dtype=np.float32)
    with pytest.raises(InputError, match="the agent gives 2 actions; 1, as the environment takes"):
        record(RandomAgent(-two, two, 0), Counter, name="x", steps=5, seed=0)
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(InputError, match=r"its action_space is Discrete\(2\)"):
        RecordingEnv(env, lambda episode: None)


def test_a_model_at_hand_is_recorded_as_it_predicts() -> None:
    for algorithm in (PPO, SAC):
        model = algorithm("MlpPolicy", Counter(), seed=0)
        seen = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
        theirs, _ = model.predict(seen, deterministic=True)
        np.testing.assert_allclose(model_actor(model).act(seen), theirs, atol=1e-6)
    made = record(model_actor(model), Counter, name="x", steps=50, seed=0, deterministic=True)
    assert made.steps == 50


def test_what_is_recorded_under_a_learner_is_what_it_keeps_itself() -> None:
    kept: list[Episode] = []
    env = RecordingEnv(gymnasium.wrappers.TimeLimit(Counter(), 6), kept.append)
    model = SAC("MlpPolicy", env, seed=0, buffer_size=100, learning_starts=200)
    model.learn(60)
    env.close()
    buffer = from_replay_buffer(model.replay_buffer)
    assert [len(e) for e in buffer.episodes] == [len(e) for e in kept]
    assert [e.terminated for e in buffer.episodes] == [e.terminated for e in kept]
    for theirs, ours in zip(buffer.episodes, kept, strict=True):
        np.testing.assert_allclose(theirs.observations, ours.observations, atol=1e-6)
        np.testing.assert_allclose(theirs.actions, ours.actions, atol=1e-6)


def test_a_training_leaves_all_it_saw_and_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_record, "STRETCH", 256)
    # At a rate of 0 the weights stay as they were drawn at first: a run that began anew would draw others.
    small = {"n_steps": 64, "batch_size": 32, "n_epochs": 1, "learning_rate": 0.0}
    settings: dict[str, Any] = {"name": "counted", "algorithm": "ppo", "seed": 0, "settings": small}

    def killed(steps: int, mean: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_training(tmp_path / "run", Counter, steps=512, told=killed, **settings)
    (tmp_path / "run" / "parts" / ".000000512.safetensors.77").write_bytes(b"half")  # what a kill leaves
    before = read_parts(tmp_path / "run")
    learner, kept = read_arrays(tmp_path / "run" / "learner.safetensors")
    heard: list[int] = []
    made = record_training(tmp_path / "run", Counter, steps=512, told=lambda n, mean: heard.append(n), **settings)
    assert heard == [512]
    for one, other in zip(before, made.episodes, strict=False):
        np.testing.assert_array_equal(one.observations, other.observations)
    # Only the episode that was under way at the kill is lost.
    assert 512 - 7 < made.steps <= 512
    again, later = read_arrays(tmp_path / "run" / "learner.safetensors")
    assert (kept["steps"], later["steps"]) == (256, 512)
    assert again["adam.0.step"] == 2 * learner["adam.0.step"] > 0
    for name in (name for name in learner if name.startswith("policy.")):
        np.testing.assert_array_equal(again[name], learner[name])
    when = [e.facts["training_step"] for e in made.episodes]
    assert when == sorted(when) and when[-1] == 512
    # A finished one is only read.
    assert record_training(tmp_path / "run", Counter, steps=512, **settings).steps == made.steps
    for change, said in (
        ({"seed": 1}, "another run is here"),
        ({"algorithm": "ddpg"}, "algorithm 'ddpg'"),
    ):
        with pytest.raises(InputError, match=said):
            record_training(tmp_path / "run", Counter, steps=512, **(settings | change))


def test_the_batch_world_is_recorded_with_what_was_seen_before_each_new_episode(start_folder: Path) -> None:
    config = BatchConfig(worlds=2, threads=1, cached_starts=4, rung="yaw60", seed=3, episode_s=0.5)
    world = BatchWorld(hand_spec("dclaw3"), ("truck",), config, cache_folder=start_folder)
    rng = np.random.default_rng(0)
    made = record_batch(world, lambda seen: rng.uniform(-1, 1, (len(seen), 9)), steps=30, name="turning")
    world.close()
    assert made.steps == 30 and made.observations == 87 and made.environment == "knuckle/dclaw3"
    limit = world.spec.episode_steps
    whole = [e for e in made.episodes if e.facts["time_limit"]]
    assert whole and all(len(e) == limit and not e.terminated for e in whole)
    part = world.build.slices["previous_action"]
    for episode in whole:
        # No action is remembered where an episode begins; the one that was last is seen where it ends.
        assert not episode.observations[0, part].any()
        assert np.abs(episode.observations[-1, part]).min() > 0.0
    rest = [e for e in made.episodes if not e.facts["time_limit"] and not e.terminated]
    assert len(rest) == 2 and all(e.succeeded is not None for e in made.episodes)
