"""The LEAP hand: its fingertips against the published MJCF, its servos, and what lies where in its two mounts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, link_poses, tip_positions
from knuckle.hardware.spec.leap import ORIGIN, TIP_RADIUS, leap
from knuckle.hardware.spec.link_cloud import link_cloud
from knuckle.hardware.spec.mounts import camera_extrinsics, paper_extrinsics
from knuckle.hardware.spec.primitive_distance import signed_distance
from knuckle.hardware.spec.tip_kinematics import TipKinematics

LEAP = leap()

# Positions in mm, in the frame of the body `palm`, of the sites if_tip, mf_tip, rf_tip and th_tip of leap_rh_mjx.xml in
# the wheel playground 0.2.0 (MuJoCo Playground, Apache-2.0). They were computed by mj_forward of MuJoCo 4.0.0 from that
# file, its visual meshes left out, at the postures named; joints in the file's order.
ORACLE: dict[str, tuple[list[float], list[list[float]]]] = {
    "straight": (
        [0.0] * 16,
        [[132.20, 7.60, -19.50], [132.10, -37.80, -19.50], [132.10, -83.20, -19.50], [-82.30, 136.70, -21.90]],
    ),
    "half closed": (
        [0.8, 0.0, 0.8, 0.8] * 3 + [0.8, 0.8, 0.8, 0.0],
        [[-8.50, 7.60, -127.21], [-8.60, -37.80, -127.21], [-8.59, -83.20, -127.20], [-29.24, 32.85, -135.69]],
    ),
    "spread": (
        [0.3, 0.4, 0.2, 0.1, 0.3, 0.0, 0.2, 0.1, 0.3, -0.4, 0.2, 0.1, 1.2, 0.3, 0.1, 0.5],
        [[108.70, -30.55, -78.30], [116.34, -37.80, -80.70], [109.27, -44.91, -78.51], [-45.58, 34.01, -144.37]],
    ),
    "mixed": (
        [1.1, -0.3, 0.7, 1.5, -0.2, 0.6, 1.2, 0.3, 2.0, 0.9, -0.4, 1.9, -0.3, 1.8, 1.7, -1.2],
        [[-41.35, 11.54, -93.37], [72.07, -55.49, -88.69], [-69.34, -123.42, -66.73], [-99.63, 94.83, -68.25]],
    ),
    "mixed again": (
        [0.05, -1.0, 1.8, -0.3, 1.6, 0.2, 0.0, 0.9, 0.45, -0.7, 1.1, 0.6, 2.0, -0.2, -0.4, 1.6],
        [[33.10, 16.71, -106.64], [-50.51, -54.11, -135.95], [9.00, -66.93, -118.15], [-45.22, -34.58, -111.86]],
    ),
}


@pytest.mark.parametrize("posture", ORACLE)
def test_the_fingertips_are_where_the_published_model_has_them(posture: str) -> None:
    q, sites = ORACLE[posture]
    positions, quaternions = link_poses(LEAP, q)
    for tip, site in zip(LEAP.tips, sites, strict=True):
        # The site stands where the pad ends; ours is the centre of the pad's ball, a radius before it.
        end = np.add(tip.position, (0.0, -TIP_RADIUS, 0.0))
        i = LEAP.link_names.index(tip.link)
        ours = positions[i] + rotations.rotate(quaternions[i], end)
        # From the frame of the palm's body: x the same, y and z the other way round.
        theirs = (np.array(site) / 1e3 - ORIGIN) * [1.0, -1.0, -1.0]
        np.testing.assert_allclose(ours, theirs, atol=5e-5)


def test_each_joint_has_the_servo_that_the_hand_is_wired_with() -> None:
    ids = {joint.name: joint.servo_id for joint in LEAP.joints}
    assert sorted(ids.values()) == list(range(16))
    # The side joint of a finger is its first servo, though the second joint of its chain.
    assert [ids[f"{finger}_rot"] for finger in ("if", "mf", "rf")] == [0, 4, 8]
    assert [ids[f"{finger}_mcp"] for finger in ("if", "mf", "rf")] == [1, 5, 9]
    assert [ids[f"th_{joint}"] for joint in ("cmc", "axl", "mcp", "ipl")] == [12, 13, 14, 15]
    sides = {joint.stiffness for joint in LEAP.joints if joint.servo_id in (0, 4, 8)}
    others = {joint.stiffness for joint in LEAP.joints if joint.servo_id not in (0, 4, 8)}
    assert [0.75 * stiffness for stiffness in others] == list(sides)
    assert all(joint.servo_offset == 0.0 and joint.sign == 1 for joint in LEAP.joints)


def test_closing_brings_the_tips_to_the_palm_and_the_thumb_stands_against_the_fingers() -> None:
    straight, closed = tip_positions(LEAP, np.zeros(16)), tip_positions(LEAP, ORACLE["half closed"][0])
    assert (straight[:3, 0] > 0.14).all()
    assert (closed[:3, 2] > straight[:3, 2] + 0.08).all() and (closed[:3, 0] < 0.08).all()
    assert closed[3, 2] > 0.08 and abs(closed[3, 1]) < abs(straight[3, 1])


def test_its_fingers_are_four_of_four_joints_in_order() -> None:
    np.testing.assert_array_equal(TipKinematics(LEAP).joints, np.arange(16).reshape(4, 4))


def test_palm_up_an_object_rests_over_the_palm_and_palm_down_under_it() -> None:
    up, down = hand_spec("leap"), hand_spec("leap_down")
    assert (up.palm_up, down.palm_up, hand_spec("dclaw3").palm_up) == (True, False, False)
    held = np.array([0.0, 0.0, 0.05])
    assert base_to_world(up, held)[2] > up.mount_position[2]
    assert 0.0 < base_to_world(down, held)[2] < down.mount_position[2]
    for hand in (up, down):
        lowest = base_to_world(hand, tip_positions(hand, hand.home))[:, 2].min()
        assert lowest > TIP_RADIUS
    assert up.joints == down.joints and up.links == down.links


@pytest.mark.parametrize("name", ["leap", "leap_down"])
def test_its_camera_looks_at_the_side_where_the_object_is(name: str) -> None:
    hand = hand_spec(name)
    camera = camera_extrinsics(hand)
    held = np.array([0.03, 0.0, 0.05])
    forward = camera.to_base(np.array([0.0, 0.0, 1.0])) - np.array(camera.position)
    to_object = held - np.array(camera.position)
    assert forward @ to_object / np.linalg.norm(to_object) > 0.95
    assert np.linalg.norm(to_object) == pytest.approx(0.55, abs=0.1)
    # The image's rows go down in the world.
    down = base_to_world(hand, camera.to_base(np.array([0.0, 1.0, 0.0])))
    assert down[2] < base_to_world(hand, np.array(camera.position))[2]


def test_a_hand_that_hangs_is_seen_from_the_papers_camera() -> None:
    assert camera_extrinsics(hand_spec("dclaw3")) == paper_extrinsics()


def test_its_cloud_lies_on_its_links() -> None:
    cloud = link_cloud(LEAP, 60)
    assert len(cloud.at(LEAP.home)) == 60 * 17
    for k, link in enumerate(LEAP.links):
        nearest = np.min([signed_distance(p, cloud.points[cloud.link == k]) for p in link.primitives], axis=0)
        assert np.abs(nearest).max() < 1e-9


def test_a_palm_contact_of_no_link_is_refused() -> None:
    with pytest.raises(InputError, match="palm_contact: no link thumb"):
        dataclasses.replace(LEAP, palm_contact=("thumb",))


def test_the_text_of_other_hands_is_what_it_was() -> None:
    # Caches of start states are named by it: a new field must not make them all anew.
    spec: HandSpec = hand_spec("dclaw3")
    assert "palm_contact" not in repr(spec)
