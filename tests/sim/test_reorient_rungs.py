"""Goals by rung: their angles and axes, and that no goal is reached by doing nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.sim.reorient.rungs import RUNGS, draw_goal
from knuckle.sim.reorient.success import SUCCESS_ANGLE, at_rest

seeds = st.integers(0, 2**31)
BOUNDS = {"yaw60": (45, 75), "30": (25, 45), "60": (45, 75), "90": (75, 105), "so3": (math.degrees(0.4), 180)}


@pytest.mark.parametrize("rung", sorted(RUNGS))
@given(seed=seeds)
def test_goals_lie_within_their_rung_and_never_where_the_object_already_is(rung: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts = rotations.random(rng, 24).reshape(4, 6, 4)
    goals = draw_goal(rung, starts, rng)
    angles = np.degrees(rotations.angle_between(starts, goals))
    low, high = BOUNDS[rung]
    assert goals.shape == starts.shape and (angles >= low - 1e-6).all() and (angles <= high + 1e-6).all()
    assert (np.radians(angles) > SUCCESS_ANGLE - 1e-9).all()


@given(seed=seeds)
def test_a_yaw_goal_is_the_start_turned_about_the_vertical_either_way(seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts = rotations.random(rng, 64)
    turns = rotations.log(rotations.multiply(draw_goal("yaw60", starts, rng), rotations.conjugate(starts)))
    np.testing.assert_allclose(turns[:, :2], 0.0, atol=1e-9)
    assert {-1.0, 1.0} == set(np.sign(turns[:, 2]))


def test_so3_goals_are_spread_as_uniform_rotations_are() -> None:
    rng = np.random.default_rng(5)
    starts = rotations.random(rng, 20_000)
    angles = rotations.angle_between(starts, draw_goal("so3", starts, rng))
    # The density of a uniform rotation's angle is (1 - cos a) / pi.
    for a in (1.0, 1.8, 2.5):
        inside = ((a - math.sin(a)) - (0.4 - math.sin(0.4))) / math.pi / (1 - (0.4 - math.sin(0.4)) / math.pi)
        assert (angles < a).mean() == pytest.approx(inside, abs=0.015)


def test_goals_repeat_with_the_seed() -> None:
    starts = rotations.random(np.random.default_rng(0), 8)
    draws = [draw_goal("60", starts, np.random.default_rng(9)) for _ in range(2)]
    np.testing.assert_array_equal(*draws)


def test_an_unknown_rung_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"--rung: unknown rung 'yaw90'; did you mean 'yaw60'\? known: 30, 60, 90, so3, yaw60"
    ):
        draw_goal("yaw90", rotations.IDENTITY, np.random.default_rng(0), where="--rung")


@pytest.mark.parametrize("odd", range(4))
def test_each_of_the_four_conditions_of_rest_is_needed(odd: int) -> None:
    limits = np.array([0.25, 0.04, 0.5, 1.0])
    moving = limits.copy()
    moving[odd] *= 1.001
    assert at_rest(*limits) and not at_rest(*moving)
    assert at_rest(*np.stack([limits, moving], axis=1)).tolist() == [True, False]
