"""Near the goal a learned policy keeps the posture it was about to take, gently enough to count as rest."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.policy.learned.hold_rule import GENTLE, HoldRule

HAND = hand_spec("dclaw3")
CHART = ActionMap(HAND)
HOLD = DoneConfig(hold=0.35)


def test_far_from_the_goal_and_switched_off_it_changes_nothing() -> None:
    wanted, zero = np.linspace(-1.0, 1.0, 9), np.zeros(9)
    off, on = HoldRule(DoneConfig(hold=0.0), CHART), HoldRule(HOLD, CHART)
    for angle in (0.1, 0.01):
        np.testing.assert_array_equal(off.action(lambda: wanted, HAND.home, zero, angle), wanted)
    for angle in (1.0, 0.36):
        np.testing.assert_array_equal(on.action(lambda: wanted, HAND.home, zero, angle), wanted)
    assert not on.holding and not off.holding


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_it_presses_on_towards_the_target_before_no_harder_than_counts_as_rest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rule, q, smoothed = HoldRule(HOLD, CHART), rng.uniform(HAND.lower, HAND.upper) * 0.5, np.zeros(9)
    wanted = rng.uniform(-1.0, 1.0, 9)
    smoothed = CHART.smooth(rule.action(lambda: wanted, q, smoothed, 0.5), smoothed)
    target = CHART.target(q, smoothed)
    for _ in range(4):
        smoothed = CHART.smooth(rule.action(lambda: -wanted, q, smoothed, 0.2), smoothed)
        assert rule.holding
    assert np.linalg.norm(smoothed) <= 1.0
    pull = (target - q) / CHART.step_rad
    gentle = pull * min(1.0, GENTLE / np.linalg.norm(pull))
    np.testing.assert_allclose(smoothed, gentle, atol=0.02)


def test_while_it_holds_the_policy_is_not_asked() -> None:
    rule, zero, asked = HoldRule(HOLD, CHART), np.zeros(9), list[float]()
    for angle in (1.0, 0.3, 0.3, 1.0):
        rule.action(lambda angle=angle: asked.append(angle) or np.zeros(9), HAND.home, zero, angle)  # type: ignore[misc]
    assert asked == [1.0, 1.0]


def test_it_lets_go_where_the_object_slips_away_and_forgets_with_the_goal() -> None:
    rule, zero, wanted = HoldRule(HOLD, CHART), np.zeros(9), np.full(9, 0.5)
    rule.action(lambda: wanted, HAND.home, zero, 1.0)
    rule.action(lambda: -wanted, HAND.home, zero, 0.3)
    assert rule.holding
    rule.action(lambda: -wanted, HAND.home, zero, 0.41)
    assert rule.holding
    np.testing.assert_array_equal(rule.action(lambda: -wanted, HAND.home, zero, 0.43), -wanted)
    assert not rule.holding
    rule.reset()
    np.testing.assert_array_equal(rule.action(lambda: wanted, HAND.home, zero, 0.1), wanted)


def test_what_does_not_come_to_rest_in_a_second_is_turned_on_for_a_while() -> None:
    rule, zero, wanted = HoldRule(HOLD, CHART), np.zeros(9), np.full(9, 0.5)
    rule.action(lambda: wanted, HAND.home, zero, 1.0)
    held = []
    for _ in range(36):
        rule.action(lambda: -wanted, HAND.home, zero, 0.3)
        held.append(rule.holding)
    assert held == [True] * 12 + [False] * 12 + [True] * 12
