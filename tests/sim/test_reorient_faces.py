"""The faces of the batch world for Gymnasium and Stable-Baselines3: what they promise, seen from a learner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.episode_meter import Episode, EpisodeMeter

pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from knuckle.sim.reorient.sb3_env import ReorientVecEnv
from knuckle.sim.reorient.vector_env import ReorientVectorEnv

HAND = hand_spec("dclaw3")
Maker = Callable[..., BatchWorld]


@pytest.fixture
def make(start_folder: Path, tmp_path: Path) -> Maker:
    def build(**settings: Any) -> BatchWorld:
        config = BatchConfig(**({"worlds": 4, "cached_starts": 8, "threads": 1, "episode_s": 0.5} | settings))
        return BatchWorld(HAND, ("truck", "duck"), config, cache_folder=start_folder, fault_folder=tmp_path)

    return build


def leave(world: BatchWorld, k: int) -> None:
    """Put the object of world ``k`` away."""
    world.stepper.states[k, world.stepper.scenes[0].object_q.start + 1] += 0.2


def test_sb3_gets_what_was_seen_last_and_why_an_episode_ended(make: Maker) -> None:
    env, plain = ReorientVecEnv(make()), make()
    first = env.reset()
    np.testing.assert_array_equal(first, plain.reset().astype(np.float32))
    assert first.dtype == np.float32 and env.observation_space.contains(first[0])
    total = np.zeros(4)
    for step in range(1, 7):
        action = np.full((4, 9), 0.1 * step, np.float32)
        if step == 4:
            leave(env.world, 1), leave(plain, 1)
        seen, reward, done, infos = env.step(action)
        last, own_reward, terminated, truncated = plain.step(action)
        total += own_reward
        assert reward.dtype == np.float32 and len(infos) == 4
        np.testing.assert_array_equal(done, terminated | truncated)
        for k, info in enumerate(infos):
            assert bool(info) is bool(done[k])
            if done[k]:
                np.testing.assert_array_equal(info["terminal_observation"], last[k].astype(np.float32))
                assert info["TimeLimit.truncated"] is (k != 1 or step != 4)
                assert info["episode"]["r"] == pytest.approx(total[k]) and info["episode"]["l"] == step
                assert info["episode"]["t"] == pytest.approx(step / 12) and info["is_success"] is False
        if done.any():
            np.testing.assert_array_equal(seen, plain.reset(done).astype(np.float32))
            assert not np.array_equal(seen[done], last[done].astype(np.float32))
        if step == 4:
            assert done.tolist() == [False, True, False, False]
    assert done.tolist() == [True, False, True, True]


def test_sb3_seeds_make_runs_repeat(make: Maker) -> None:
    env, seen = ReorientVecEnv(make(randomisation="default")), []
    for seed in (3, 3, 4):
        env.seed(seed)
        env.reset()
        seen.append(env.step(np.zeros((4, 9), np.float32))[0])
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_sb3_is_told_that_worlds_of_a_batch_have_nothing_of_their_own(make: Maker) -> None:
    env = ReorientVecEnv(make())
    assert env.get_attr("num_envs", [0, 2]) == [4, 4]
    with pytest.raises(InputError, match="no attribute gravity of one world"):
        env.set_attr("gravity", 0.0)
    with pytest.raises(InputError, match="no method jump of one world"):
        env.env_method("jump")


def test_ppo_learns_and_is_evaluated_without_an_error(make: Maker) -> None:
    env = VecNormalize(ReorientVecEnv(make(worlds=8, rung="yaw60", randomisation="default")))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=64, n_epochs=1, seed=0, device="cpu")
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(256)
    assert model.num_timesteps == 256 and len(model.ep_info_buffer or []) > 0
    assert any(not np.array_equal(a, b.detach()) for a, b in zip(before, model.policy.parameters(), strict=True))
    mean, _ = evaluate_policy(model, env, n_eval_episodes=8)
    assert np.isfinite(mean)
    env.close()


def test_gymnasium_gets_final_observations_and_the_same_rewards(make: Maker) -> None:
    env, plain = ReorientVectorEnv(make()), make()
    first, _ = env.reset(seed=5)
    plain.seed(5)
    np.testing.assert_array_equal(first, plain.reset().astype(np.float32))
    assert first in env.observation_space and env.metadata["autoreset_mode"].name == "SAME_STEP"
    for step in range(1, 7):
        action = env.single_action_space.high * np.full((4, 1), 0.1, np.float32)
        if step == 2:
            leave(env.world, 3), leave(plain, 3)
        seen, reward, terminated, truncated, info = env.step(action)
        last, *expected = plain.step(action)
        for got, wanted in zip((reward, terminated, truncated), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        done = terminated | truncated
        assert ("final_obs" in info) is bool(done.any()) and info["angle"].shape == (4,)
        if done.any():
            np.testing.assert_array_equal(info["final_obs"][done], last[done].astype(np.float32))
            np.testing.assert_array_equal(info["_final_obs"], done)
            assert (info["episode"]["l"][done] == step).all()
            np.testing.assert_array_equal(seen, plain.reset(done).astype(np.float32))
    env.close()


def test_gymnasium_resets_by_mask(make: Maker) -> None:
    env = ReorientVectorEnv(make())
    env.step(np.zeros((4, 9), np.float32))
    before = env.world.states
    mask = np.array([True, False, False, True])
    env.reset(options={"reset_mask": mask})
    assert (env.world.steps == np.where(mask, 0, 1)).all()
    np.testing.assert_array_equal(env.world.states[~mask], before[~mask])


def test_the_meter_begins_each_episode_with_nothing() -> None:
    meter = EpisodeMeter(2)
    for k in range(3):
        meter.add(np.array([1.0, 2.0]), np.array([k == 1, False]))
    assert meter.end(0, dropped=True, broken=False) == Episode(3.0, 3, 1, dropped=True, broken=False)
    assert meter.end(0, dropped=False, broken=False).length == 0
    assert meter.end(1, dropped=False, broken=False).total == 6.0
