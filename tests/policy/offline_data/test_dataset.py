"""A data set: what a learner is given of it, what is refused at the door, and what scaling does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.episode import Episode, episode_of
from knuckle.policy.offline_data.minari_folder import write_minari
from knuckle.policy.offline_data.observation_scale import ObservationScale
from knuckle.policy.offline_data.open_data import open_data
from knuckle.policy.offline_data.reward_scale import flat_share, flat_warning


def test_transitions_hold_every_step_with_what_was_seen_after_it(data: Dataset) -> None:
    rows = data.transitions()
    assert len(rows) == data.steps == 3 + 4 + 5 + 6
    for number, episode in enumerate(data.episodes):
        mine = rows.episode == number
        np.testing.assert_array_equal(rows.observations[mine], episode.observations[:-1])
        np.testing.assert_array_equal(rows.next_observations[mine], episode.observations[1:])
        assert rows.terminated[mine].tolist() == [False] * (len(episode) - 1) + [episode.terminated]
        assert rows.truncated[mine].tolist() == [False] * (len(episode) - 1) + [not episode.terminated]
    _, returns = rows.episode_returns()
    np.testing.assert_allclose(returns, data.returns())


def test_steps_at_a_time_limit_are_left_out_where_that_is_asked_for(data: Dataset) -> None:
    dropped = data.transitions(timeouts="drop")
    assert len(dropped) == data.steps - 2 and not dropped.truncated.any() and dropped.terminated.sum() == 2
    with pytest.raises(InputError, match="timeouts 'other'"):
        data.transitions(timeouts="other")


@given(st.integers(2, 9), st.floats(0.01, 0.99), st.integers(0, 99))
def test_a_split_keeps_episodes_whole_and_loses_none(count: int, share: float, seed: int) -> None:
    one, rng = np.ones(2, dtype=np.float32), np.random.default_rng(seed)
    parts = tuple(
        Episode(np.full((3, 1), k, np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float32), False)
        for k in range(count)
    )
    learn, check = Dataset("made", parts, -one, one).split(share, rng)
    names = sorted(int(e.observations[0, 0]) for e in (*learn.episodes, *check.episodes))
    assert names == list(range(count)) and learn.episodes and check.episodes


def test_one_episode_cannot_be_split(data: Dataset) -> None:
    with pytest.raises(InputError, match="one episode cannot be split"):
        replace(data, episodes=data.episodes[:1]).split(0.5, np.random.default_rng(0))


def test_rewards_scaled_by_return_range_have_a_range_of_1000(data: Dataset) -> None:
    scaled = data.scale_rewards()
    assert np.ptp(scaled.returns()) == pytest.approx(1000.0, rel=1e-5)
    assert scaled.reward_factor == pytest.approx(1000.0 / np.ptp(data.returns()), rel=1e-6)
    assert np.argsort(scaled.returns()).tolist() == np.argsort(data.returns()).tolist()
    with pytest.raises(InputError, match="scaled already"):
        scaled.scale_rewards()
    with pytest.raises(InputError, match="one is scaled and the other is not"):
        _ = scaled + data


def test_a_range_of_returns_that_is_zero_is_refused(data: Dataset) -> None:
    with pytest.raises(InputError, match="all 1 episodes return"):
        replace(data, episodes=data.episodes[:1]).scale_rewards()
    with pytest.raises(InputError, match="unknown rule for rewards 'range'"):
        data.scale_rewards("range")


def test_the_trap_of_the_chi_square_dual_is_said(data: Dataset) -> None:
    sparse = tuple(replace(e, rewards=np.zeros_like(e.rewards)) for e in data.episodes)
    antmaze = replace(data, episodes=sparse).scale_rewards("minus_three")
    rewards = antmaze.transitions().rewards
    assert flat_share(rewards) == 1.0
    assert antmaze.flat_warning() == flat_warning(rewards) and data.flat_warning() == ""
    assert flat_warning(rewards).startswith("100% of the scaled rewards lie below -2")
    assert flat_warning(np.array([0.0, -1.9, 3.0])) == ""
    # The dual itself: its slope is w = max(d/2 + 1, 0) where it is not flat, 0 below -2.
    d = np.linspace(-4.0, 2.0, 601)
    w = np.maximum(d / 2 + 1, 0)
    slope = np.gradient(d * w - (w - 1) ** 2, d)
    np.testing.assert_allclose(slope[1:-1], w[1:-1], atol=6e-3)
    assert (slope[d < -2.02] == 0.0).all() and (slope[d > -1.98] > 0.0).all()


def test_normalised_observations_have_mean_0_and_deviation_1_and_their_scale_goes_along(data: Dataset) -> None:
    normal = data.normalise_observations()
    seen = normal.transitions().observations
    np.testing.assert_allclose(seen.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(seen.std(axis=0), 1.0, atol=1e-5)
    assert normal.scale is not None
    # Other data go through the scale of those that were learned from.
    again = data.normalise_observations(normal.scale)
    np.testing.assert_array_equal(again.episodes[0].observations, normal.episodes[0].observations)
    with pytest.raises(InputError, match="normalised already"):
        normal.normalise_observations()
    with pytest.raises(InputError, match="a scale of 2 for 3 observations"):
        data.normalise_observations(ObservationScale(np.zeros(2, np.float32), np.ones(2, np.float32)))


def test_a_column_that_never_changes_stays_finite(data: Dataset) -> None:
    still = tuple(replace(e, observations=np.ones_like(e.observations)) for e in data.episodes)
    assert np.isfinite(replace(data, episodes=still).normalise_observations().transitions().observations).all()


def test_data_of_one_task_are_merged_in_order(data: Dataset, dataset: Callable[..., Dataset]) -> None:
    other = dataset(2, name="other")
    both = data + other
    assert both.name == "made+other" and len(both.episodes) == 6 and both.steps == data.steps + other.steps
    assert both.episodes[4] is other.episodes[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"environment": "Other-v0"}, "recorded in Made-v0 and in Other-v0"),
        ({"high": np.full(2, 2.0, np.float32)}, "their action spaces differ"),
    ],
)
def test_data_of_different_tasks_are_not_merged(data: Dataset, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _ = data + replace(data, **change)


def test_another_environments_shapes_are_refused(data: Dataset) -> None:
    data.require_shapes(3, 2, task="made")
    with pytest.raises(InputError, match="3 observations and 2 actions; the 11 and 3 of hopper"):
        data.require_shapes(11, 3, task="hopper")


def test_the_successful_the_best_and_the_first(data: Dataset) -> None:
    assert [e.succeeded for e in data.successful().episodes] == [True, True]
    assert data.best(0.25).returns() == [data.returns().max()]
    assert len(data.best(0.01).episodes) == 1
    assert [len(e) for e in data.first_steps(4).episodes] == [3, 4]
    assert data.first_steps(10_000).steps == data.steps


def test_no_successful_episode_is_one_line(data: Dataset, episode: Callable[..., Episode]) -> None:
    failed = replace(data, episodes=tuple(episode(k, succeeded=False) for k in range(3)))
    with pytest.raises(InputError, match="no successful episode among 3"):
        failed.successful()
    with pytest.raises(InputError, match="does not say which episodes succeeded"):
        replace(data, episodes=(episode(0),)).successful()


def _broken(episode: Episode, **change: Any) -> Episode:
    return replace(episode, **change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"observations": np.full((6, 3), np.nan, np.float32)}, "row 0 of observations is not finite"),
        ({"actions": np.array([[0, 0]] * 4 + [[0, np.inf]], np.float32)}, "row 4 of actions is not finite"),
        ({"rewards": np.array([0, np.nan, 0, 0, 0], np.float32)}, "row 1 of rewards is not finite"),
        ({"observations": np.zeros((5, 3), np.float32)}, "5 observations, 5 actions and 5 rewards"),
        ({"actions": np.zeros((4, 2), np.float32)}, "6 observations, 4 actions and 5 rewards"),
        ({"rewards": np.zeros(5)}, "rewards are float64"),
        ({"actions": np.zeros(5, np.float32)}, "actions are float32 of shape"),
        (
            {
                "observations": np.zeros((1, 3), np.float32),
                "actions": np.zeros((0, 2), np.float32),
                "rewards": np.zeros(0, np.float32),
            },
            "it has no step",
        ),
    ],
)
def test_an_episode_that_is_broken_is_refused(
    episode: Callable[..., Episode], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        _broken(episode(0), **change)
    assert "\n" not in str(refused.value)


def test_actions_outside_the_space_are_refused_and_rounding_is_not(data: Dataset) -> None:
    first = data.episodes[0]
    outside = first.actions.copy()
    outside[1, 0] = -1.25
    with pytest.raises(InputError, match="action 0 of step 1 in episode 0 is -1.25; -1 to 1"):
        replace(data, episodes=(replace(first, actions=outside),))
    outside[1, 0] = np.nextafter(np.float32(-1), np.float32(-2))
    replace(data, episodes=(replace(first, actions=outside),))


def test_a_data_set_of_two_tasks_or_of_nothing_is_refused(data: Dataset) -> None:
    wide = episode_of(np.zeros((3, 4)), np.zeros((2, 2)), np.zeros(2), False, {}, where="x")
    with pytest.raises(InputError, match="episode 4 has 4 observations and 2 actions; 3 and 2, as episode 0"):
        replace(data, episodes=(*data.episodes, wide))
    with pytest.raises(InputError, match="no episode in it"):
        replace(data, episodes=())
    with pytest.raises(InputError, match="a space of"):
        replace(data, low=np.zeros(3, np.float32))


def test_text_is_no_number() -> None:
    with pytest.raises(InputError, match="here: they are no numbers"):
        episode_of(np.array([["a"], ["b"]]), np.zeros((1, 1)), np.zeros(1), False, {}, where="here")


def test_one_episode_of_any_data_is_asked_for_by_its_number(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_minari(tmp_path / "runs" / "offline" / "made-v0", data, algorithm="", description={})
    one = open_data("made-v0:2")
    assert one.name == "made:2" and one.environment == data.environment and len(one.episodes) == 1
    np.testing.assert_array_equal(one.episodes[0].observations, data.episodes[2].observations)
    assert one.returns() == data.returns()[2]
    for source, said in (("made-v0:4", "no episode 4; 0 to 3"), ("made-v1:2", "no such data set"), ("made-v0:", "no")):
        with pytest.raises(InputError, match=said):
            open_data(source)
    (tmp_path / "made:7").mkdir()
    with pytest.raises(InputError, match="no finished data set"):
        open_data("made:7")
