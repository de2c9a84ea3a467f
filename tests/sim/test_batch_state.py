"""A batch world goes on from a captured state as if it had not ended; goals come from a mixture of rungs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_state import capture, restore
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.episode_goals import EpisodeGoals
from knuckle.sim.reorient.reward import RewardConfig
from knuckle.sim.reorient.sb3_env import ReorientVecEnv

HAND = hand_spec("dclaw3")
OBJECTS = ("truck", "duck")


def worlds(folder: Path, reward: RewardConfig | None = None, **settings: Any) -> ReorientVecEnv:
    config = BatchConfig(**({"worlds": 6, "cached_starts": 4, "threads": 1, "episode_s": 0.5} | settings))
    return ReorientVecEnv(BatchWorld(HAND, OBJECTS, config, reward=reward, cache_folder=folder))


def run(env: ReorientVecEnv, seed: int, steps: int) -> list[np.ndarray]:
    rng, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        observation, reward, done, infos = env.step(rng.uniform(-1, 1, (6, HAND.dof)).astype(np.float32))
        totals = np.array([info["episode"]["r"] if info else 0.0 for info in infos])
        seen.append(np.concatenate([observation.ravel(), reward, done, totals]))
    return seen


@pytest.mark.parametrize(
    "settings",
    [{"randomisation": "default", "starts": "mixed"}, {"surface": "air", "episode_s": 3.0, "starts": "grasp"}],
    ids=["everything drawn", "the table goes"],
)
def test_a_restored_world_gives_the_same_numbers_bit_for_bit(start_folder: Path, settings: dict[str, Any]) -> None:
    first, second = worlds(start_folder, **settings), worlds(start_folder, **settings)
    first.world.goals.share({"yaw60": 0.5, "so3": 0.5})
    first.reset()
    run(first, 1, 26)
    arrays, facts = capture(first.world, first.meter)
    straight = run(first, 2, 14)
    second.seed(9)
    second.reset()
    run(second, 3, 5)
    restore(second.world, second.meter, arrays, facts)
    np.testing.assert_array_equal(run(second, 2, 14), straight)


def test_a_state_of_other_worlds_is_refused_by_the_name_of_what_does_not_fit(start_folder: Path) -> None:
    env = worlds(start_folder)
    arrays, facts = capture(env.world, env.meter)
    with pytest.raises(InputError, match=r"shape \(2, 4\) for states; an array \(6, "):
        restore(env.world, env.meter, arrays | {"states": np.zeros((2, 4))}, facts)
    del arrays["states"]
    with pytest.raises(InputError, match="nothing for states"):
        restore(env.world, env.meter, arrays, facts)


def test_rungs_are_drawn_by_their_shares_and_goals_lie_where_their_rung_says() -> None:
    goals, rng, all_of_them = EpisodeGoals(2000, "yaw60"), np.random.default_rng(0), np.arange(2000)
    lies = rotations.random(rng, 2000)
    goals.share({"yaw60": 0.25, "90": 0.75})
    goals.begin(all_of_them, rng)
    angles = rotations.angle_between(goals.draw(all_of_them, lies, rng), lies)
    far = np.array([goals.rung_of(k) == "90" for k in range(2000)])
    assert 0.70 < far.mean() < 0.80
    assert (np.degrees(angles[far]) > 74.9).all() and (np.degrees(angles[~far]) < 75.1).all()


@pytest.mark.parametrize("shares", [{}, {"yaw60": 0.5}, {"yaw60": 1.5, "60": -0.5}])
def test_shares_that_are_none_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match="shares of 0 or more that sum to 1"):
        EpisodeGoals(4, "yaw60").share(shares)
    with pytest.raises(InputError, match="unknown rung 'yaw90'"):
        EpisodeGoals(4, "yaw60").share({"yaw90": 1.0})


def test_progress_adds_up_to_the_change_of_the_angle_while_the_goal_stays(start_folder: Path) -> None:
    env = worlds(start_folder, RewardConfig(progress=1.0), episode_s=10.0, starts="grasp")
    env.reset()
    began = env.world._angle.copy()
    total, reached, rng = np.zeros(6), np.zeros(6, dtype=bool), np.random.default_rng(4)
    for _ in range(20):
        env.step(rng.uniform(-1, 1, (6, HAND.dof)).astype(np.float32))
        total += env.world.info["reward_progress"]
        reached |= env.world.info["success"]
    assert not reached.all()
    np.testing.assert_allclose((began - total)[~reached], env.world.info["angle"][~reached], atol=1e-9)


def test_an_object_at_rest_at_its_goal_is_paid_under_a_moving_hand_where_that_is_what_success_needs(
    start_folder: Path,
) -> None:
    paid = {}
    for needs in ("five", "object"):
        env = worlds(start_folder, RewardConfig(success_needs=needs), starts="settled")
        env.reset()
        pose = env.world.stepper.scenes[0].object_pose_of(env.world.states)[1]
        env.world.set_goals(rotations.normalize(pose))
        # The hand waves above what lies at its goal.
        wave = np.tile([-1.0, -1.0, -1.0], (6, 3)).astype(np.float32)
        env.step(wave)
        paid[needs] = env.world.info["success"].sum()
        assert not env.world.info["five"].any()
    assert paid["five"] == 0 and paid["object"] >= 1
