"""The observation: its order against a table written by hand, its scales, one observation for one orientation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, tip_positions
from knuckle.sim.reorient.observation import ReorientObservation

HANDS = [hand_spec("dclaw3"), hand_spec("dclaw4")]
by_hand = pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.name)

# Written by hand from the paper's list and the released code, for three and for four fingers.
TABLE = {
    "dclaw3": [0, 9, 18, 21, 25, 28, 31, 35, 39, 78, 87],
    "dclaw4": [0, 12, 24, 27, 31, 34, 37, 41, 45, 97, 109],
}


def scene(hand: HandSpec, seed: int, shape: tuple[int, ...] = ()) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    quaternions = rotations.random(rng, 2 * int(np.prod(shape, dtype=int))).reshape(2, *shape, 4)
    q = rng.uniform(hand.lower, hand.upper, (*shape, hand.dof))
    position, velocity, spin = rng.standard_normal((3, *shape, 3))
    action = rng.uniform(-1, 1, q.shape)
    return q, rng.standard_normal(q.shape), position, quaternions[0], velocity, spin, quaternions[1], action


@by_hand
def test_the_order_is_that_of_the_table(hand: HandSpec) -> None:
    edges = TABLE[hand.name]
    q, dq, position, quaternion, velocity, spin, goal, action = scene(hand, 4)
    seen = ReorientObservation(hand)(q, dq, position, quaternion, velocity, spin, goal, action)
    assert seen.shape == (22 * len(hand.tips) + 21,) == (edges[-1],)
    parts = [seen[a:b] for a, b in pairwise(edges)]
    scaled = [-1 + 2 * (a - j.lower) / (j.upper - j.lower) for a, j in zip(q, hand.joints, strict=True)]
    np.testing.assert_allclose(parts[0], scaled)
    np.testing.assert_allclose(parts[1], 0.2 * dq)
    np.testing.assert_allclose(parts[2], position)
    np.testing.assert_allclose(parts[3], quaternion * np.sign(quaternion[0]))
    np.testing.assert_allclose(parts[4], velocity)
    np.testing.assert_allclose(parts[5], 0.2 * spin)
    np.testing.assert_allclose(parts[6], goal * np.sign(goal[0]))
    turn = rotations.multiply(quaternion, rotations.conjugate(goal))
    np.testing.assert_allclose(parts[7], turn * np.sign(turn[0]), atol=1e-12)
    tips = parts[8].reshape(len(hand.tips), 13)
    np.testing.assert_allclose(tips[:, :3], base_to_world(hand, tip_positions(hand, q)), atol=1e-12)
    step = 1e-6
    moved = [base_to_world(hand, tip_positions(hand, q + s * dq)) for s in (step, -step)]
    np.testing.assert_allclose(tips[:, 7:10], (moved[0] - moved[1]) / (2 * step), atol=1e-8)
    np.testing.assert_allclose(parts[9], action)


@by_hand
def test_every_column_has_a_name_of_its_own_and_a_unit(hand: HandSpec) -> None:
    built = ReorientObservation(hand)
    names = [name for name, unit in built.columns if unit]
    assert len(set(names)) == len(names) == built.width
    assert names[TABLE[hand.name][7]] == "quaternion_difference.w" and names[0] == "joint_angle.joint_f1_0"
    assert sum(entry.shape[0] for entry in built.entries) == built.width


@given(seed=st.integers(0, 2**31), signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 2))
def test_a_quaternion_and_its_negative_are_one_observation(seed: int, signs: tuple[float, float]) -> None:
    built, parts = ReorientObservation(HANDS[0]), list(scene(HANDS[0], seed))
    before = built(*parts)
    parts[3], parts[6] = signs[0] * parts[3], signs[1] * parts[6]
    np.testing.assert_array_equal(before, built(*parts))


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_the_difference_holds_the_angle_that_is_left(seed: int) -> None:
    built, parts = ReorientObservation(HANDS[1]), scene(HANDS[1], seed)
    left = 2.0 * np.arccos(np.clip(built(*parts)[41], -1.0, 1.0))
    assert left == pytest.approx(float(rotations.angle_between(parts[3], parts[6])), abs=1e-6)


def test_a_batch_is_the_stack_of_its_members_whatever_its_axes() -> None:
    built, parts = ReorientObservation(HANDS[0]), scene(HANDS[0], 8, (2, 3))
    whole = built(*parts)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(whole[index], built(*(part[index] for part in parts)), atol=1e-14)
    one_goal = built(*parts[:6], parts[6][0, 0], parts[7])
    np.testing.assert_allclose(one_goal[0, 0], whole[0, 0], atol=1e-14)


def test_an_array_of_another_width_is_refused() -> None:
    parts = list(scene(HANDS[0], 0))
    parts[7] = np.zeros(12)
    with pytest.raises(InputError, match=r"observation: an array \(12,\); \(\.\.\., 9\)"):
        ReorientObservation(HANDS[0])(*parts)
