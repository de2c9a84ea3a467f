"""Fingertips from joints: the same as link by link, as MuJoCo, and as finite differences say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec, Tip
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, link_poses, tip_positions
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.sim.engine import mujoco
from knuckle.sim.scene import execution_scene

HANDS = [hand_spec("dclaw3"), hand_spec("dclaw4"), hand_spec("leap")]
by_hand = pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.name)


def postures(hand: HandSpec, seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(hand.lower, hand.upper, (*shape, hand.dof)), 3.0 * rng.standard_normal((*shape, hand.dof))


@by_hand
@given(seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_poses_are_those_of_the_kinematics_of_all_links(hand: HandSpec, seed: int) -> None:
    q, _ = postures(hand, seed, (5, 2))
    positions, quaternions = TipKinematics(hand).poses(q)
    tips = [hand.link_names.index(tip.link) for tip in hand.tips]
    np.testing.assert_allclose(positions, tip_positions(hand, q), atol=1e-12)
    np.testing.assert_allclose(rotations.angle_between(quaternions, link_poses(hand, q)[1][..., tips, :]), 0, atol=1e-7)
    in_world = TipKinematics(hand, "world").poses(q)
    np.testing.assert_allclose(in_world[0], base_to_world(hand, positions), atol=1e-12)
    mount = np.array(hand.mount_quaternion)
    np.testing.assert_allclose(in_world[1], rotations.multiply(mount, quaternions), atol=1e-12)


@by_hand
def test_links_are_those_of_the_kinematics_of_all_links(hand: HandSpec) -> None:
    q, _ = postures(hand, 3, (4, 2))
    fingers = TipKinematics(hand, "world")
    positions, matrices = fingers.links(q)
    of_joint = {link.joint: k for k, link in enumerate(hand.links)}
    places = [[of_joint[hand.joint_names[k]] for k in finger] for finger in fingers.joints]
    all_positions, quaternions = link_poses(hand, q)
    np.testing.assert_allclose(positions, base_to_world(hand, all_positions[..., places, :]), atol=1e-12)
    turned = rotations.multiply(np.array(hand.mount_quaternion), quaternions[..., places, :])
    np.testing.assert_allclose(matrices, rotations.to_matrix(turned), atol=1e-12)


@by_hand
def test_states_are_those_that_mujoco_computes_for_the_tip_sites(hand: HandSpec) -> None:
    scene = execution_scene(hand, "duck")
    data, model = scene.new_data(), scene.model
    q, dq = postures(hand, 7, ())
    data.qpos[scene.joint_q], data.qvel[scene.joint_v] = q, dq
    mujoco.mj_forward(model, data)
    states = TipKinematics(hand, "world").states(q, dq)
    twist = np.zeros(6)
    for tip, state in zip(hand.tips, states, strict=True):
        site = model.site(tip.name).id
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_SITE, site, twist, 0)
        np.testing.assert_allclose(state[:3], data.site_xpos[site], atol=1e-9)
        np.testing.assert_allclose(rotations.to_matrix(state[3:7]).ravel(), data.site_xmat[site], atol=1e-9)
        np.testing.assert_allclose(state[7:10], twist[3:], atol=1e-9)
        np.testing.assert_allclose(state[10:], twist[:3], atol=1e-9)


@by_hand
def test_the_jacobian_is_the_derivative_and_gives_the_velocity(hand: HandSpec) -> None:
    tips = TipKinematics(hand, "world")
    q, dq = postures(hand, 3, (4,))
    jacobian, step = tips.jacobian(q), 1e-6
    for finger, joints in enumerate(tips.joints):
        for k, joint in enumerate(joints):
            nudge = np.zeros(hand.dof)
            nudge[joint] = step
            numeric = (tips.poses(q + nudge)[0] - tips.poses(q - nudge)[0]) / (2 * step)
            np.testing.assert_allclose(jacobian[:, finger, :, k], numeric[:, finger], atol=1e-8)
    linear, angular = tips.twists(q, dq)
    np.testing.assert_allclose(linear, np.einsum("ngij,ngj->ngi", jacobian, dq[:, tips.joints]), atol=1e-12)
    np.testing.assert_allclose(tips.states(q, dq)[..., 7:], np.concatenate([linear, angular], axis=-1), atol=1e-12)


def test_no_batch_axis_and_an_empty_batch_keep_their_shapes() -> None:
    tips = TipKinematics(HANDS[0])
    home = HANDS[0].home
    assert tips.poses(home)[1].shape == (3, 4) and tips.jacobian(home).shape == (3, 3, 3)
    assert tips.states(np.zeros((0, 9)), np.zeros((0, 9))).shape == (0, 3, 13)


def test_joints_of_another_hand_and_fingers_of_different_length_are_refused() -> None:
    with pytest.raises(InputError, match=r"hand dclaw3: \(2, 12\) joint values; \(\.\.\., 9\)"):
        TipKinematics(HANDS[0]).poses(np.zeros((2, 12)))
    stump = replace(HANDS[0], tips=(*HANDS[0].tips[:2], Tip("stump", "link_f3_2", (0.0, 0.0, 0.0), 0.01)))
    with pytest.raises(InputError, match=r"link_f1_head 3, .*stump 2 joints; as many in each finger"):
        TipKinematics(stump)
