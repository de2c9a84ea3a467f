"""Transitions are checked once, at the door: what a learner is given fits together."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.policy.offline.transitions import Transitions


def made(steps: tuple[int, ...] = (3, 4, 5)) -> Transitions:
    """Episodes of ``steps`` steps; every reward is its episode's number."""
    count, rng = sum(steps), np.random.default_rng(0)
    episode = np.repeat(np.arange(len(steps)), steps)
    ends = np.zeros(count, dtype=bool)
    ends[np.cumsum(steps) - 1] = True
    return Transitions(
        observations=rng.standard_normal((count, 3)).astype(np.float32),
        actions=rng.standard_normal((count, 2)).astype(np.float32),
        rewards=episode.astype(np.float32),
        next_observations=rng.standard_normal((count, 3)).astype(np.float32),
        terminated=ends,
        truncated=np.zeros(count, dtype=bool),
        episode=episode,
    )


def _nan(array: np.ndarray) -> np.ndarray:
    broken = array.copy()
    broken[5] = np.nan
    return broken


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("rewards", lambda a: a[:-1], "11 rows"),
        ("observations", _nan, "row 5 is not finite"),
        ("rewards", _nan, "row 5 is not finite"),
        ("actions", lambda a: a.astype(np.float64), "float64"),
        ("terminated", lambda a: a.astype(np.float32), "float32"),
        ("actions", lambda a: a[:, 0], "shape (12,)"),
        ("next_observations", lambda a: a[:, :2], "2 columns"),
        ("episode", list, "list is no array"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_that_names_it(name: str, change: Any, said: str) -> None:
    good = made()
    with pytest.raises(InputError) as caught:
        dataclasses.replace(good, **{name: change(getattr(good, name))})
    assert name in str(caught.value) and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_steps_and_no_columns_are_refused() -> None:
    good = made()
    with pytest.raises(InputError, match="no steps"):
        good.take(np.zeros(len(good), dtype=bool))
    with pytest.raises(InputError, match="no columns"):
        dataclasses.replace(good, actions=good.actions[:, :0])


def test_returns_are_those_of_whole_episodes() -> None:
    numbers, returns = made().episode_returns()
    assert numbers.tolist() == [0, 1, 2]
    assert returns.tolist() == [0.0, 4.0, 10.0]


def test_a_split_keeps_episodes_whole_and_loses_none() -> None:
    good = made((2, 3, 4, 5, 6))
    kept, held = good.split(0.4, np.random.default_rng(1))
    assert len(np.unique(held.episode)) == 2
    assert not set(kept.episode.tolist()) & set(held.episode.tolist())
    assert len(kept) + len(held) == len(good)
    with pytest.raises(InputError, match="one episode"):
        made((4,)).split(0.5, np.random.default_rng(1))
