"""Grasp-and-turn plans: tips reach what they are sent to, contacts lie on the surface and help the turn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.policy.contract import SceneState
from knuckle.policy.grasp_proposals import GraspProposals, surface_of
from knuckle.policy.tip_reach import reach
from knuckle.sim.objects import object_shape

HAND = hand_spec("dclaw3")
TIPS = TipKinematics(HAND, "world")


def over_the_table(quaternion: np.ndarray) -> SceneState:
    zero = np.zeros(3)
    return SceneState(0, HAND.home.copy(), np.zeros(9), np.array([0.0, 0.0, 0.06]), quaternion, zero, zero)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_tips_reach_every_place_that_a_posture_near_home_reaches(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = np.clip(HAND.home + rng.uniform(-0.4, 0.4, (5, 9)), HAND.lower, HAND.upper)
    targets = TIPS.poses(wanted)[0]
    found = reach(TIPS, targets, HAND.home)
    assert np.linalg.norm(TIPS.poses(found)[0] - targets, axis=-1).max() < 1e-3


def test_a_place_out_of_reach_is_approached_within_the_limits() -> None:
    targets = TIPS.poses(HAND.home)[0] + np.array([0.0, 0.0, 0.5])
    found = reach(TIPS, targets, HAND.home)
    before = np.linalg.norm(TIPS.poses(HAND.home)[0] - targets, axis=-1)
    assert (found >= HAND.lower).all() and (found <= HAND.upper).all()
    assert (np.linalg.norm(TIPS.poses(found)[0] - targets, axis=-1) < before).all()


@pytest.mark.parametrize("name", ["truck", "bunny"])
def test_normals_point_outwards(name: str) -> None:
    thing = object_shape(name)
    surface = surface_of(thing, 200)
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1.0, atol=1e-6)
    outside = thing.distance(surface.points + 1e-3 * surface.normals)
    # On an edge between two parts the gradient is between their normals.
    assert (outside > 0.0).mean() > 0.97 and np.median(outside) == pytest.approx(1e-3, rel=0.01)


def test_pushing_contacts_help_the_turn_more_than_any_contact_would() -> None:
    proposals = GraspProposals(HAND, object_shape("letter_f"), knots=4)
    rng = np.random.default_rng(0)
    points, normals = proposals.surface.points + np.array([0.0, 0.0, 0.06]), proposals.surface.normals
    centre, turn = np.array([0.0, 0.0, 0.06]), np.array([0.0, 0.0, 1.0])
    chosen = proposals._contacts(points, normals, centre, np.tile(turn, (400, 1)), TIPS.poses(HAND.home)[0], rng)
    lever = -np.cross(points - centre, normals) @ turn
    assert lever[chosen[0::2]].mean() > lever.mean() + 0.005


def test_candidates_turn_the_grasp_as_the_goal_asks_and_stay_within_limits() -> None:
    thing = object_shape("truck")
    proposals = GraspProposals(HAND, thing, knots=4)
    state = over_the_table(rotations.IDENTITY)
    aim = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(1.2))
    plan = np.tile(HAND.home, (4, 1))
    drawn = proposals.draw(state, aim, plan, 200, np.random.default_rng(1))
    again = proposals.draw(state, aim, plan, 200, np.random.default_rng(1))
    assert np.array_equal(drawn, again) and drawn.shape == (200, 4, 9)
    assert (drawn >= HAND.lower).all() and (drawn <= HAND.upper).all()
    tips = TIPS.poses(drawn)[0] - state.position
    # Where a finger is used, its tip goes round the object's centre in the sense of the goal.
    azimuth = np.unwrap(np.arctan2(tips[..., 1], tips[..., 0]), axis=1)
    turned = azimuth[:, -1] - azimuth[:, 1]
    assert np.median(turned) > 0.15
    assert tips[..., 2].min() + state.position[2] > 0.0


def test_a_hand_of_four_fingers_grasps_too() -> None:
    hand = hand_spec("dclaw4")
    proposals = GraspProposals(hand, object_shape("duck"), knots=4)
    zero = np.zeros(3)
    state = SceneState(0, hand.home.copy(), np.zeros(12), np.array([0.0, 0.0, 0.06]), rotations.IDENTITY, zero, zero)
    aim = rotations.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.array(2.0))
    assert proposals.draw(state, aim, np.tile(hand.home, (4, 1)), 16, np.random.default_rng(0)).shape == (16, 4, 12)
