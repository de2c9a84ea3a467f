"""HandSpec, kinematics and clouds against independent oracles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.dclaw import LINK_LENGTH, MOUNT_HEIGHT, TIP_LENGTH, TIP_RADIUS, dclaw
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, link_poses, tip_positions, world_to_base
from knuckle.hardware.spec.link_cloud import link_cloud
from knuckle.hardware.spec.mounts import paper_extrinsics, pinhole
from knuckle.hardware.spec.primitive_distance import signed_distance

SPEC = dclaw(3)
POSTURES = st.lists(st.floats(-0.45, 1.35), min_size=9, max_size=9).map(np.array)


def test_straight_fingers_point_down_from_the_mount() -> None:
    tips = base_to_world(SPEC, tip_positions(SPEC, np.zeros(9)))
    reach = 0.0138 + 2 * LINK_LENGTH + TIP_LENGTH - TIP_RADIUS
    assert np.allclose(tips[:, 2], MOUNT_HEIGHT - reach)
    assert np.allclose(np.linalg.norm(tips[:, :2], axis=1), 0.060)


def test_positive_flexion_opens_the_finger_and_home_keeps_the_tips_above_the_table() -> None:
    opened = tip_positions(SPEC, np.tile([0.0, 0.5, 0.0], 3))
    assert (np.linalg.norm(opened[:, :2], axis=1) > 0.1).all()
    assert (base_to_world(SPEC, tip_positions(SPEC, SPEC.home))[:, 2] > TIP_RADIUS).all()


@given(POSTURES)
def test_fingers_are_copies_turned_about_the_palm(q: np.ndarray) -> None:
    q = np.tile(q[:3], 3)
    tips = tip_positions(SPEC, q)
    third = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(-2 * np.pi / 3))
    assert np.allclose(rotations.rotate(third, tips[0]), tips[1], atol=1e-12)


@given(POSTURES)
def test_links_keep_their_lengths(q: np.ndarray) -> None:
    positions, quaternions = link_poses(SPEC, q)
    i = SPEC.link_names.index("link_f2_2")
    assert np.isclose(np.linalg.norm(positions[i + 1] - positions[i]), LINK_LENGTH)
    assert np.allclose(np.linalg.norm(quaternions, axis=-1), 1.0)


def test_a_batch_of_postures_equals_one_at_a_time() -> None:
    q = np.random.default_rng(0).uniform(-0.4, 1.3, (4, 9))
    assert np.array_equal(tip_positions(SPEC, q)[2], tip_positions(SPEC, q[2]))


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_world_and_base_are_inverse(point: list[float]) -> None:
    assert np.allclose(world_to_base(SPEC, base_to_world(SPEC, point)), point)


def test_the_link_cloud_lies_on_the_outer_surface_and_is_the_same_again() -> None:
    cloud = link_cloud(SPEC, 200)
    for k, link in enumerate(SPEC.links):
        points = cloud.points[cloud.link == k]
        assert len(points) == 200
        nearest = np.min([signed_distance(p, points) for p in link.primitives], axis=0)
        assert np.abs(nearest).max() < 1e-9
    assert np.array_equal(cloud.points, link_cloud(SPEC, 200).points)


def test_the_paper_camera_looks_at_the_object_from_above() -> None:
    camera = paper_extrinsics()
    forward = camera.to_base(np.array([0.0, 0.0, 1.0])) - np.array(camera.position)
    to_object = np.array([0.0, 0.0, 0.15]) - np.array(camera.position)
    assert forward @ to_object / np.linalg.norm(to_object) > 0.98
    assert base_to_world(SPEC, np.array(camera.position))[2] > 0.25
    assert np.isclose(pinhole().fx, 160 / np.tan(np.radians(32)))


@given(POSTURES, st.lists(st.floats(-3, 3), min_size=9, max_size=9), st.lists(st.floats(-1, 1), min_size=9, max_size=9))
def test_the_action_map_never_asks_for_more_than_its_step_or_beyond_a_limit(
    q: np.ndarray, action: list[float], previous: list[float]
) -> None:
    chart = ActionMap(SPEC)
    target = chart.target(q, chart.smooth(action, previous))
    assert (target >= SPEC.lower).all() and (target <= SPEC.upper).all()
    inside = np.clip(q, SPEC.lower, SPEC.upper)
    assert (np.abs(target - inside) <= chart.step_rad + np.abs(q - inside) + 1e-12).all()


def test_an_action_towards_a_near_posture_reaches_it_in_one_step() -> None:
    chart = ActionMap(SPEC)
    posture = SPEC.home + 0.1
    previous = np.full(9, 0.3)
    action = chart.towards(SPEC.home, posture, previous)
    assert np.allclose(chart.target(SPEC.home, chart.smooth(action, previous)), posture)


def test_an_unknown_hand_is_refused_with_the_known_names() -> None:
    with pytest.raises(InputError, match="unknown hand 'dclaw'.*did you mean 'dclaw[34]'"):
        hand_spec("dclaw")


def test_a_spec_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(InputError, match="doubled servo id: 10"):
        dataclasses.replace(SPEC, joints=(*SPEC.joints[:-1], dataclasses.replace(SPEC.joints[-1], servo_id=10)))
    with pytest.raises(InputError, match="base first"):
        dataclasses.replace(SPEC, links=SPEC.links[1:])


def test_a_spec_whose_parts_do_not_hang_together_is_refused() -> None:
    tip, joint, link = SPEC.tips[0], SPEC.joints[0], SPEC.links[1]
    with pytest.raises(InputError, match="its link gone does not exist"):
        dataclasses.replace(SPEC, tips=(dataclasses.replace(tip, link="gone"),))
    with pytest.raises(InputError, match="is no unit vector"):
        dataclasses.replace(SPEC, joints=(dataclasses.replace(joint, axis=(0.0, 1.0, 1.0)), *SPEC.joints[1:]))
    with pytest.raises(InputError, match=f"{link.name}: parent or joint is missing"):
        dataclasses.replace(SPEC, links=(SPEC.links[0], dataclasses.replace(link, joint=None), *SPEC.links[2:]))
