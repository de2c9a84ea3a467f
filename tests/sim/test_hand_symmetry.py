"""The hand's symmetry: what the turned scene gives is the turned observation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

HANDS = {name: HandSymmetry(hand_spec(name)) for name in ("dclaw3", "dclaw4")}


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(HANDS)), seed=st.integers(0, 2**32 - 1))
def test_the_observation_of_the_turned_scene_is_the_turned_observation(name: str, seed: int) -> None:
    symmetry = HANDS[name]
    hand, build = symmetry.hand, symmetry.build
    rng = np.random.default_rng(seed)
    q = rng.uniform(hand.lower, hand.upper)
    dq, action = rng.standard_normal(hand.dof), rng.uniform(-1.0, 1.0, hand.dof)
    position, velocity, spin = rng.standard_normal((3, 3))
    lies, goal = rotations.normalize(rng.standard_normal((2, 4)))
    copies = symmetry.copies(build(q, dq, position, lies, velocity, spin, goal, action)[None])[0]
    for k in range(symmetry.order):
        half = math.pi * k / symmetry.order
        turn = np.array([math.cos(half), 0.0, 0.0, math.sin(half)])
        joints = np.stack([q, dq, action])[:, symmetry.sources()[k]]
        vectors = rotations.rotate(turn, np.stack([position, velocity, spin]))
        seen = build(
            joints[0],
            joints[1],
            vectors[0],
            rotations.multiply(turn, lies),
            vectors[1],
            vectors[2],
            rotations.multiply(turn, goal),
            joints[2],
        )
        np.testing.assert_allclose(copies[k], seen, atol=1e-9)


@pytest.mark.parametrize("name", sorted(HANDS))
def test_turns_by_places_make_a_circle(name: str) -> None:
    symmetry = HANDS[name]
    actions = np.arange(symmetry.hand.dof, dtype=float)[None]
    once = symmetry.turned_actions(actions)[:, 1]
    for k in range(2, symmetry.order):
        once = symmetry.turned_actions(once)[:, 1]
        np.testing.assert_array_equal(once, symmetry.turned_actions(actions)[:, k])
    np.testing.assert_array_equal(symmetry.turned_actions(once)[:, 1], actions)
    assert sorted(symmetry.finger_of()) == list(range(symmetry.order))


def test_a_hand_that_leans_has_no_such_symmetry() -> None:
    leaning = replace(hand_spec("dclaw3"), mount_position=(0.05, 0.0, 0.22))
    with pytest.raises(InputError, match="not the same hand after a turn"):
        HandSymmetry(leaning)
