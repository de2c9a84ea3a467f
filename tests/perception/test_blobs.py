"""Boxes of what stands out of table, hand and object: against rendered scenes, and by invariants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from knuckle.core.errors import ConfigError, InputError
from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import world_to_base
from knuckle.hardware.spec.mounts import camera_extrinsics
from knuckle.perception.blobs import BlobConfig, BlobFinder, components
from knuckle.perception.known_object import FRESH_NS, HeldObject, KnownObject
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.depth_noise import DepthNoise
from knuckle.sim.intruder import draw_ball
from knuckle.sim.world import SimWorld

HAND = hand_spec("dclaw3")
PLACE = camera_extrinsics(HAND)


@pytest.fixture(scope="module")
def view() -> tuple[SimWorld, DepthFrame, DepthFrame]:
    """A resting hand over a truck, seen exactly and seen with the camera's noise."""
    world = SimWorld(HAND, "truck", seed=1)
    cameras = [SimDepthCamera(world, source="rays", noise=noise) for noise in (None, DepthNoise())]
    return world, cameras[0].render(), cameras[1].render()


def finder(world: SimWorld, config: BlobConfig = BlobConfig()) -> BlobFinder:  # noqa: B008
    made, truth = BlobFinder(HAND, PLACE, config), world.object_truth()
    made.known = KnownObject(world.scene.thing.primitives, truth.position, truth.quaternion)
    return made


def with_ball(frame: DepthFrame, centre: np.ndarray, radius: float = 0.04) -> DepthFrame:
    metres = frame.depth.astype(np.float32) * np.float32(frame.scale_m)
    drawn = draw_ball(metres, world_to_base(HAND, centre), radius, frame.intrinsics, PLACE)
    return replace(frame, depth=np.round(drawn / frame.scale_m).astype(np.uint16))


@pytest.mark.parametrize("noisy", [False, True])
def test_a_known_scene_has_no_stranger_in_it(view: tuple[SimWorld, DepthFrame, DepthFrame], noisy: bool) -> None:
    world, q = view[0], view[0].read().q
    assert len(finder(world).build(view[1 + noisy], q)) == 0
    unknown = BlobFinder(HAND, PLACE)
    truth = world.object_truth().position
    seen = unknown.build(view[1 + noisy], q)
    assert len(seen) >= 1
    assert np.linalg.norm(seen.centres[0] - truth) < 0.05
    unknown.known = HeldObject(HAND).at(0)
    assert len(unknown.build(view[1 + noisy], q)) == 0


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("centre", [(0.5, 0.35, 0.08), (0.3, -0.3, 0.15), (-0.1, 0.25, 0.06), (0.2, 0.2, 0.05)])
def test_a_ball_is_found_where_it_is(
    view: tuple[SimWorld, DepthFrame, DepthFrame], noisy: bool, centre: tuple[float, ...]
) -> None:
    world, place = view[0], np.array(centre)
    frame = with_ball(view[1 + noisy], place)
    seen = finder(world).build(frame, world.read().q)
    assert len(seen) == 1
    assert seen.stamp_ns == frame.stamp_ns
    # What is seen is the half that faces the camera, whose middle lies up to half a radius nearer.
    assert np.linalg.norm(seen.centres[0] - place) < 0.035
    assert 0.04 < seen.sizes[0].max() < 0.1
    assert 0.5 < seen.scores[0] <= 1.0
    k = frame.intrinsics
    changed = np.argwhere(frame.depth != view[1 + noisy].depth)
    low, high = changed.min(axis=0), changed.max(axis=0)
    wanted = [0.5 * (low[1] + high[1]), 0.5 * (low[0] + high[0]), high[1] - low[1] + 1, high[0] - low[0] + 1]
    assert np.abs(seen.boxes[0] - wanted).max() <= 5.0
    assert (seen.boxes[0, :2] < [k.width, k.height]).all()


def test_two_things_one_behind_the_other_are_two(view: tuple[SimWorld, DepthFrame, DepthFrame]) -> None:
    world = view[0]
    both = with_ball(with_ball(view[1], np.array([0.6, 0.45, 0.1]), 0.08), np.array([0.35, 0.24, 0.09]))
    seen = finder(world).build(both, world.read().q)
    assert len(seen) == 2
    depths = sorted(seen.centres[:, 0])
    assert depths[1] - depths[0] > 0.2


def test_the_same_frame_gives_the_same_bits(view: tuple[SimWorld, DepthFrame, DepthFrame]) -> None:
    world, frame = view[0], with_ball(view[2], np.array([0.4, 0.3, 0.1]))
    one, other = (finder(world).build(frame, world.read().q) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


def test_nothing_is_found_where_nothing_was_measured(view: tuple[SimWorld, DepthFrame, DepthFrame]) -> None:
    world, frame = view[0], view[1]
    q, make = world.read().q, finder(world)
    for depth in (
        np.zeros_like(frame.depth),
        np.full(frame.depth.shape, np.nan),
        np.full(frame.depth.shape, np.inf),
        np.full(frame.depth.shape, 65535, dtype=np.uint16),
    ):
        assert len(make.build(replace(frame, depth=depth), q)) == 0
    holes = frame.depth.astype(np.float64)
    holes[::3] = np.nan
    assert len(make.build(replace(frame, depth=holes), q)) == 0  # type: ignore[arg-type]


def test_an_image_of_another_size_and_an_empty_box_are_refused(
    view: tuple[SimWorld, DepthFrame, DepthFrame],
) -> None:
    world, frame = view[0], view[1]
    with pytest.raises(InputError, match=r"shape \(90, 320\)"):
        finder(world).build(replace(frame, depth=frame.depth[:90]), world.read().q)
    with pytest.raises(ConfigError, match="watch_low_y"):
        BlobFinder(HAND, PLACE, BlobConfig(watch_low_y=1.0, watch_high_y=1.0))


def test_other_strides_find_the_same_thing(view: tuple[SimWorld, DepthFrame, DepthFrame]) -> None:
    world, frame = view[0], with_ball(view[1], np.array([0.4, 0.3, 0.1]))
    fine, coarse = (finder(world, BlobConfig(stride=s)).build(frame, world.read().q) for s in (1, 3))
    assert len(fine) == len(coarse) == 1
    assert np.linalg.norm(fine.centres[0] - coarse.centres[0]) < 0.01
    assert np.abs(fine.boxes[0] - coarse.boxes[0]).max() <= 4.0


def test_where_the_object_was_long_ago_says_nothing_of_now() -> None:
    held, ball = HeldObject(HAND), hand_spec("dclaw3").links[0].primitives
    far = np.array([0.6, 0.0, 0.1])
    held.is_now(ball)
    held.was_seen(1_000_000_000, far, np.array([1.0, 0.0, 0.0, 0.0]))
    assert np.array_equal(held.at(1_100_000_000).position, far)
    assert not np.array_equal(held.at(1_000_000_000 + FRESH_NS + 1).position, far)
    held.is_now(None)
    assert not np.array_equal(held.at(1_000_000_000).position, far)


@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_components_of_one_depth_are_those_of_the_mask(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((13, 17)) < share
    number, count = components(np.where(mask, 0.7, 0.0), 0.01)
    oracle, wanted = ndimage.label(mask, structure=np.ones((3, 3)))
    assert count == wanted
    assert ((number >= 0) == mask).all()
    pairs = set(zip(number[mask].tolist(), oracle[mask].tolist(), strict=True))
    assert len(pairs) == wanted


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_component_has_no_neighbour_within_the_jump_outside_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = np.where(rng.random((11, 9)) < 0.8, rng.uniform(0.3, 1.0, (11, 9)), 0.0)
    number, _ = components(depth, 0.1)
    for (r, c), z in np.ndenumerate(depth):
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            s, d = r + dr, c + dc
            if z > 0.0 and 0 <= s < 11 and 0 <= d < 9 and depth[s, d] > 0.0 and abs(depth[s, d] - z) <= 0.1:
                assert number[r, c] == number[s, d]
