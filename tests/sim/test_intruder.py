"""What is sent into the camera's view: a ball that is drawn where it is, and a world that knows nothing of it."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.core.errors import ConfigError
from knuckle.hardware.spec.contracts import Extrinsics
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, world_to_base
from knuckle.hardware.spec.mounts import camera_extrinsics, pinhole
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.intruder import Intruder, IntruderConfig, draw_ball
from knuckle.sim.scene import size_signature
from knuckle.sim.world import SimWorld

HAND = hand_spec("dclaw3")


def test_a_visit_begins_and_ends_outside_and_goes_no_nearer_than_its_end() -> None:
    config = IntruderConfig(speed=0.5, begin=0.8, end=0.2, pause_s=1.0)
    visit = Intruder(HAND, 5_000_000_000, np.random.default_rng(0), config)
    assert visit.seconds == pytest.approx(2 * 0.6 / 0.5 + 1.0)
    assert visit.position(4_999_999_999) is None
    assert visit.position(round(5e9 + 1e9 * visit.seconds) + 1) is None
    places = [visit.position(round(5e9 + t * 1e9)) for t in np.linspace(0.0, visit.seconds, 200)]
    distance = [float(np.linalg.norm(place[:2])) for place in places if place is not None]
    assert len(distance) == 200
    assert distance[0] == pytest.approx(0.8)
    assert distance[-1] == pytest.approx(0.8)
    assert min(distance) == pytest.approx(0.2)
    step = np.abs(np.diff(distance)) / (visit.seconds / 199)
    assert step.max() <= 0.5 + 1e-6


@pytest.mark.parametrize("name", ["dclaw3", "leap"])
@pytest.mark.parametrize("seed", range(4))
def test_the_whole_way_lies_in_the_camera_s_view_on_either_side(name: str, seed: int) -> None:
    hand, k = hand_spec(name), pinhole()
    visit, place = Intruder(hand, 0, np.random.default_rng(seed)), camera_extrinsics(hand)
    nothing = np.zeros((k.height, k.width), dtype=np.float32)
    for t in np.linspace(0.2 * visit.seconds, 0.8 * visit.seconds, 7):
        centre = visit.position(round(t * 1e9))
        assert centre is not None
        drawn = draw_ball(nothing, world_to_base(hand, centre), 0.04, k, place)
        assert (drawn > 0.0).sum() > 60


def test_a_ball_is_drawn_on_its_sphere_and_behind_what_is_nearer() -> None:
    k, place = pinhole(64, 36), Extrinsics((0.1, 0.2, 0.3), (1.0, 0.0, 0.0, 0.0))
    centre = np.array([0.15, 0.18, 1.1])
    empty, wall = np.zeros((36, 64), dtype=np.float32), np.full((36, 64), 0.4, dtype=np.float32)
    drawn = draw_ball(empty, centre, 0.1, k, place)
    v, u = np.nonzero(drawn)
    z = drawn[v, u].astype(np.float64)
    points = place.to_base(np.stack([(u - k.cx) / k.fx * z, (v - k.cy) / k.fy * z, z], axis=1))
    assert len(u) > 20
    assert np.allclose(np.linalg.norm(points - centre, axis=1), 0.1, atol=1e-6)
    assert (z < 0.8 + 1e-6).all()
    assert np.array_equal(draw_ball(wall, centre, 0.1, k, place), wall)
    assert np.array_equal(draw_ball(empty, np.array([0.1, 0.2, 0.0]), 0.1, k, place), empty)


def test_a_world_with_an_intruder_moves_as_one_without_and_has_the_same_sizes() -> None:
    worlds = SimWorld(HAND, "truck", seed=3), SimWorld(HAND, "truck", seed=3)
    worlds[1].intruder = Intruder(HAND, 0, np.random.default_rng(0))
    for world in worlds:
        world.advance(1_500_000_000)
    states = [world.snapshot()[2] for world in worlds]
    assert np.array_equal(*states)
    assert size_signature(worlds[0].scene) == size_signature(worlds[1].scene)
    camera = [SimDepthCamera(world, source="rays", intrinsics=pinhole(160, 90)) for world in worlds]
    plain, visited = (one.render().depth.astype(np.int64) for one in camera)
    changed = plain != visited
    assert 20 < changed.sum() < 2000
    assert (visited[changed] > 0).all()
    worlds[1].advance(10_000_000_000)
    worlds[0].advance(10_000_000_000)
    assert np.array_equal(*(one.render().depth for one in camera))


def test_a_way_of_no_speed_is_refused() -> None:
    with pytest.raises(ConfigError, match="speed"):
        Intruder(HAND, 0, np.random.default_rng(0), IntruderConfig(speed=0.0))


def test_it_stays_clear_of_the_fingers() -> None:
    visit = Intruder(HAND, 0, np.random.default_rng(1))
    nearest = visit.position(round(visit.seconds * 0.5e9))
    assert nearest is not None
    axis = base_to_world(HAND, np.zeros(3))[:2]
    assert np.linalg.norm(nearest[:2] - axis) - visit.config.radius >= 0.16
