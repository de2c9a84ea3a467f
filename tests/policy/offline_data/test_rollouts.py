"""Playing a finished policy, and the controls that it must beat."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.controls import NearestDemonstration, shuffled_actions
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.rollouts import play


class Line(gymnasium.Env[Any, Any]):
    """A point on a line from the place that the seed names: at 0 it has won; it loses 1 a step, and has 9 of them."""

    observation_space = spaces.Box(-9.0, 9.0, (1,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        assert seed is not None
        self.place, self.age = float(seed % 5 + 1), 0
        return np.array([self.place], np.float32), {}

    def step(self, action: Any) -> Any:
        self.place, self.age = self.place + float(action[0]), self.age + 1
        won = abs(self.place) < 0.5
        return np.array([self.place], np.float32), -1.0, won, self.age == 9, {"success": won}


class Home:
    """Goes to 0."""

    def act(self, observations: Any, rng: Any = None) -> Any:
        return -np.sign(observations).astype(np.float32)


class Away(Home):
    """Goes the other way."""

    def act(self, observations: Any, rng: Any = None) -> Any:
        return -super().act(observations)


@pytest.mark.parametrize("worlds", [1, 3, 20])
def test_every_episode_is_played_from_its_own_seed_however_many_run_at_once(worlds: int) -> None:
    scores = play(Home(), Line, episodes=8, seed=1, worlds=worlds)
    assert [s.steps for s in scores] == [2, 3, 4, 5, 1, 2, 3, 4]
    assert [s.total for s in scores] == [-2.0, -3.0, -4.0, -5.0, -1.0, -2.0, -3.0, -4.0]
    assert all(s.succeeded for s in scores)
    lost = play(Away(), Line, episodes=4, seed=0, worlds=worlds)
    assert [s.steps for s in lost] == [9] * 4 and not any(s.succeeded for s in lost)
    with pytest.raises(InputError, match="no episodes to play"):
        play(Home(), Line, episodes=0, seed=0)


def test_success_is_unknown_where_the_task_does_not_say() -> None:
    class Silent(Line):
        def step(self, action: Any) -> Any:
            return (*super().step(action)[:4], {})

    assert [s.succeeded for s in play(Home(), Silent, episodes=2, seed=0)] == [None, None]


def test_the_nearest_demonstration_gives_back_what_was_done_there(data: Dataset) -> None:
    agent = NearestDemonstration(data)
    for episode in data.episodes:
        np.testing.assert_array_equal(agent.act(episode.observations[:-1]), episode.actions)
        np.testing.assert_array_equal(agent.act(episode.observations[:-1] + 1e-4), episode.actions)
    with pytest.raises(InputError, match="its observations are normalised"):
        NearestDemonstration(data.normalise_observations())


def test_shuffled_actions_are_the_same_actions_elsewhere(data: Dataset) -> None:
    noise = shuffled_actions(data, np.random.default_rng(0))
    before, after = data.transitions(), noise.transitions()
    np.testing.assert_array_equal(before.observations, after.observations)
    assert not np.array_equal(before.actions, after.actions)
    assert sorted(map(tuple, before.actions.tolist())) == sorted(map(tuple, after.actions.tolist()))
