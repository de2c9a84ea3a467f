"""Holding still: grips that are tried, and which of them is best."""

from __future__ import annotations

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.hold_search import GRIP_NORM, SHARES, grips, hold_costs
from knuckle.policy.planner_model import Futures

HAND = hand_spec("dclaw3")


def futures(action_norm: list[float], sinks: list[float], turns: list[float]) -> Futures:
    """Three candidates over four steps: a steady action, and at the end sunk by metres and turned by rad."""
    n, steps = len(action_norm), 4
    share = np.linspace(0.0, 1.0, steps)
    position = np.zeros((n, steps, 3))
    position[..., 2] = 0.06 - np.outer(sinks, share)
    angle = np.outer(turns, share)
    quaternion = rotations.from_axis_angle(np.broadcast_to([0.0, 0.0, 1.0], (n, steps, 3)), angle)
    action = np.repeat(np.array(action_norm)[:, None, None], steps, axis=1) * np.eye(9)[0]
    zero = np.zeros((n, steps, 3))
    nothing = np.zeros((n, steps))
    return Futures(
        position, quaternion, zero, zero, np.zeros((n, steps, 9)), np.zeros((n, steps, 3, 3)), action, nothing
    )


def test_grips_begin_with_the_present_one_slackened_by_shares_and_stay_within_limits() -> None:
    target = HAND.home + 0.2
    tried = grips(HAND, HAND.home, target, 40, np.random.default_rng(0))
    assert tried.shape == (40, 9)
    np.testing.assert_allclose(tried[: len(SHARES)] - HAND.home, SHARES[:, None] * (target - HAND.home))
    assert (tried >= HAND.lower).all() and (tried <= HAND.upper).all()
    assert np.array_equal(tried, grips(HAND, HAND.home, target, 40, np.random.default_rng(0)))


def test_the_firmest_grip_that_counts_as_still_is_best_among_those_that_hold() -> None:
    costs = hold_costs(futures([2.0, GRIP_NORM, 0.2], [0.0] * 3, [0.0] * 3), rotations.IDENTITY, 0.06)
    assert costs.argmin() == 1 and costs[2] < costs[0]


def test_holding_matters_more_than_slackness() -> None:
    costs = hold_costs(futures([2.0, 0.9, 0.9], [0.0, 0.05, 0.0], [0.0, 0.0, 0.5]), rotations.IDENTITY, 0.06)
    assert costs.argmin() == 0


def test_a_future_that_broke_down_is_never_chosen() -> None:
    broken = futures([0.9, 0.9], [0.0, 0.0], [0.0, 0.0])
    broken.velocity[0] = np.nan
    costs = hold_costs(broken, rotations.IDENTITY, 0.06)
    assert np.isinf(costs[0]) and np.isfinite(costs[1])
