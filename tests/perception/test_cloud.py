"""The cloud builder against a scene whose answer is known, and what must not change its result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from knuckle.core.errors import ConfigError, InputError
from knuckle.hardware.spec.link_cloud import link_cloud
from knuckle.perception.cloud import POINT, Cloud, CloudBuilder, CloudConfig
from knuckle.perception.labels import HAND, OBJECT, TABLE, Labeller
from knuckle.perception.projection import Projection
from knuckle.perception.voxels import voxel_means

BALL, BALL_RADIUS, TABLE_Z = np.array([0.0, 0.0, 0.165]), 0.045, 0.22


@pytest.fixture(scope="module")
def cloud(scene: Any) -> Cloud:
    return CloudBuilder(scene.spec, scene.extrinsics).build(scene.frame, scene.q)


def test_every_point_labelled_with_a_link_lies_on_that_link(scene: Any, cloud: Cloud) -> None:
    surface = link_cloud(scene.spec, 3000)
    at = surface.at(scene.q)
    links = [i for i in range(len(scene.spec.links)) if (cloud.label == HAND + i).any()]
    assert len(links) >= 8
    for i in links:
        mine = cloud.points[cloud.label == HAND + i]
        gaps = np.linalg.norm(mine[:, None] - at[surface.link == i][None], axis=2).min(axis=1)
        assert gaps.max() < CloudConfig.hand_margin_m + 0.004


def test_object_points_lie_on_the_ball_and_table_points_on_the_table(cloud: Cloud) -> None:
    ball = cloud.points[cloud.label == OBJECT]
    assert len(ball) > 60
    assert np.abs(np.linalg.norm(ball - BALL, axis=1) - BALL_RADIUS).max() < 0.003
    table = cloud.points[cloud.label == TABLE]
    assert len(table) > 500
    assert np.abs(table[:, 2] - TABLE_Z).max() < 0.0041


def test_no_part_of_the_ball_clear_of_the_hand_is_labelled_hand(scene: Any, cloud: Cloud) -> None:
    seen_of_ball = int((scene.seen == 2).sum())
    near_ball = np.abs(np.linalg.norm(cloud.points - BALL, axis=1) - BALL_RADIUS) < 0.001
    far, _ = Labeller(scene.spec, 0.05, 0.0).nearest_link(cloud.points[near_ball].astype(np.float64), scene.q)
    clear = far > 2 * CloudConfig.hand_margin_m
    assert seen_of_ball > 200
    assert clear.sum() > 60
    assert not (cloud.label[near_ball][clear] >= HAND).any()


def test_the_same_input_gives_the_same_bytes_from_a_fresh_builder(scene: Any, cloud: Cloud) -> None:
    again = CloudBuilder(scene.spec, scene.extrinsics).build(scene.frame, scene.q)
    assert again.packed().tobytes() == cloud.packed().tobytes()


def test_no_voxel_holds_two_points_and_they_come_sorted(cloud: Cloud) -> None:
    index = np.floor(cloud.points.astype(np.float64) / 0.005 + 0.5).astype(int)
    assert len(np.unique(index, axis=0)) == len(index)
    assert (np.lexsort(index.T[::-1]) == np.arange(len(index))).all()


def test_the_table_can_be_left_out_and_nothing_else_goes_with_it(scene: Any, cloud: Cloud) -> None:
    bare = CloudBuilder(scene.spec, scene.extrinsics, CloudConfig(keep_table=False)).build(scene.frame, scene.q)
    kept = cloud.label != TABLE
    assert np.array_equal(bare.points, cloud.points[kept])
    assert np.array_equal(bare.label, cloud.label[kept])


def test_points_keep_inside_the_box(scene: Any) -> None:
    config = CloudConfig(low_x=-0.03, high_x=0.05, low_y=-0.02, high_y=0.06, low_z=0.1, high_z=0.2)
    points = CloudBuilder(scene.spec, scene.extrinsics, config).build(scene.frame, scene.q).points
    assert len(points) > 20
    assert (points >= np.float32([-0.03, -0.02, 0.1])).all()
    assert (points <= np.float32([0.05, 0.06, 0.2])).all()


def test_an_image_of_nothing_gives_an_empty_cloud(scene: Any) -> None:
    nothing = replace(scene.frame, depth=np.zeros_like(scene.frame.depth))
    empty = CloudBuilder(scene.spec, scene.extrinsics).build(nothing, scene.q)
    assert empty.points.shape == (0, 3)
    assert empty.points.dtype == np.float32
    assert empty.label.shape == (0,)
    assert empty.packed().tobytes() == b""


def test_an_image_of_another_size_or_too_few_joints_is_refused(scene: Any) -> None:
    builder = CloudBuilder(scene.spec, scene.extrinsics)
    with pytest.raises(InputError, match="90 rows of 160"):
        builder.build(replace(scene.frame, depth=scene.frame.depth[1:]), scene.q)
    with pytest.raises(InputError, match="dclaw3"):
        builder.build(scene.frame, scene.q[1:])


def test_an_empty_box_is_refused_by_its_key(scene: Any) -> None:
    with pytest.raises(ConfigError, match=r"cloud\.low_y"):
        CloudBuilder(scene.spec, scene.extrinsics, CloudConfig(low_y=0.3))


def test_packing_and_unpacking_give_the_cloud_back(cloud: Cloud) -> None:
    data = cloud.packed().tobytes()
    assert len(data) == POINT.itemsize * len(cloud.points)
    back = Cloud.unpacked(cloud.stamp_ns, data)
    assert np.array_equal(back.points, cloud.points)
    assert np.array_equal(back.label, cloud.label)


def test_a_pixel_projects_back_onto_itself(scene: Any) -> None:
    low, high = np.full(3, -9, dtype=np.float32), np.full(3, 9, dtype=np.float32)
    camera = scene.frame.intrinsics
    depth = np.zeros_like(scene.frame.depth)
    depth[17, 133] = 7000
    point = Projection(camera, scene.extrinsics).points_inside(depth, 1e-4, low, high).astype(np.float64)
    optical = np.array([(133 - camera.cx) / camera.fx, (17 - camera.cy) / camera.fy, 1.0]) * 0.7
    assert np.allclose(point, scene.extrinsics.to_base(optical), atol=1e-6)


@given(arrays.arrays(np.float32, (40, 3), elements=st.floats(-0.25, 0.25, width=32)))
def test_a_voxel_holds_the_mean_of_its_points(points: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    means = voxel_means(points, 0.05)
    held: dict[tuple[int, ...], list[Any]] = {}
    for p in points.astype(np.float64):
        held.setdefault(tuple(np.floor(p / 0.05 + 0.5).astype(int)), []).append(p)
    wanted = [np.mean(held[key], axis=0) for key in sorted(held)]
    assert np.allclose(means, wanted, atol=1e-12)


def test_labels_do_not_depend_on_the_bounding_spheres(scene: Any) -> None:
    spec = scene.spec
    rng = np.random.default_rng(3)
    points = rng.uniform([-0.15, -0.15, -0.02], [0.15, 0.15, 0.27], (4000, 3))
    shortcut, link = Labeller(spec, 0.02, 0.0).nearest_link(points, scene.q)
    brute, brute_link = Labeller(spec, 10.0, 0.0).nearest_link(points, scene.q)
    near = brute <= 0.02
    assert near.sum() > 200
    assert np.array_equal(shortcut[near], brute[near])
    assert np.array_equal(link[near], brute_link[near])
    assert np.isinf(shortcut[~near]).all()
