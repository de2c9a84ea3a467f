"""Joint states: what is believed, what is not, and for how long the last good one stands in."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.joint_guard import JointGuard
from knuckle.hardware.spec.dclaw import dclaw

SPEC = dclaw(3)
MS = 1_000_000
T = 1_000 * MS


@pytest.fixture
def guard() -> JointGuard:
    return JointGuard(SPEC, Config())


def with_value(array, index, value):
    changed = np.array(array)
    changed[index] = value
    return changed


def test_there_is_nothing_to_believe_before_the_first_reading(guard):
    assert guard.believed() is None
    assert guard.problem == "no joint state yet"
    guard.miss("no answer")
    guard.miss("no answer")
    assert not guard.lost
    guard.miss("no answer")
    assert guard.lost


def test_a_good_reading_is_believed_itself(guard, state_at):
    state = state_at(T, SPEC.home)
    guard.take(state, T)
    assert guard.believed() is state
    assert (guard.problem, guard.bad_in_a_row, guard.bad_total, guard.lost) == ("", 0, 0, False)


@pytest.mark.parametrize("field", ["q", "dq"])
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("joint", range(SPEC.dof))
def test_nan_and_infinity_in_any_joint_are_bad_and_named(guard, state_at, field, poison, joint):
    values = SPEC.home if field == "q" else np.zeros(SPEC.dof)
    state = state_at(T, SPEC.home, **{field: with_value(values, joint, poison)})
    assert guard.judge(state, T) == f"joint state is NaN or infinite for '{SPEC.joint_names[joint]}'"


@pytest.mark.parametrize("field", ["q", "dq", "effort", "temperature", "error"])
@pytest.mark.parametrize("shape", [(0,), (8,), (10,), (1, 9)])
def test_a_reading_of_another_shape_is_bad(guard, state_at, field, shape):
    assert guard.judge(state_at(T, SPEC.home, **{field: np.zeros(shape)}), T) == "joint state has not 9 joints"


@pytest.mark.parametrize("joint", range(SPEC.dof))
def test_a_joint_far_beyond_its_limits_is_bad_and_one_a_little_beyond_is_not(guard, state_at, joint):
    for edge, sign in ((SPEC.lower[joint], -1), (SPEC.upper[joint], 1)):
        near = state_at(T, with_value(SPEC.home, joint, edge + sign * 0.5))
        far = state_at(T, with_value(SPEC.home, joint, edge + sign * 0.501))
        assert guard.judge(near, T) == ""
        assert guard.judge(far, T) == f"joint state is far beyond the limits for '{SPEC.joint_names[joint]}'"


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (0, ""),
        (100 * MS, ""),
        (100 * MS + 1, "100 ms old"),
        (3_600_000 * MS, "3600000 ms old"),
        (-20 * MS, ""),
        (-20 * MS - 1, "20 ms in the future"),
    ],
)
def test_old_and_future_readings_are_bad(guard, state_at, age, said):
    judged = guard.judge(state_at(T, SPEC.home), T + age)
    assert judged.endswith(said)
    assert bool(judged) == bool(said)


def test_a_reading_older_than_the_last_is_bad_until_the_last_is_forgotten(guard, state_at):
    guard.take(state_at(T, SPEC.home), T)
    assert guard.judge(state_at(T, SPEC.home), T) == ""
    earlier = state_at(T - 1, SPEC.home)
    assert guard.judge(earlier, T) == "joint state is older than the one before it"
    guard.forget()
    assert guard.judge(earlier, T) == ""


def test_the_last_good_reading_stands_in_for_two_cycles_and_no_more(guard, state_at):
    good, bad = state_at(T, SPEC.home), state_at(T, SPEC.home * math.nan)
    guard.take(good, T)
    for n in (1, 2):
        guard.take(bad, T)
        assert (guard.believed(), guard.bad_in_a_row, guard.lost) == (good, n, False)
    guard.miss("no answer")
    assert (guard.believed(), guard.bad_in_a_row, guard.lost, guard.problem) == (None, 3, True, "no answer")
    again = state_at(T + MS, SPEC.home)
    guard.take(again, T + MS)
    assert (guard.believed(), guard.bad_in_a_row, guard.bad_total, guard.lost) == (again, 0, 3, False)
