"""The parts that a pose is found with: distance grid, free space, Gauss-Newton steps, spread rotations, the filter."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import paper_extrinsics
from knuckle.perception.labels import OBJECT, TABLE
from knuckle.perception.object_alignment import Evidence, Poses, fit, one_pose, refine
from knuckle.perception.object_model import ObjectModel
from knuckle.perception.object_search import rotation_matrices, spread_rotations
from knuckle.perception.pose_filter import PoseFilter
from knuckle.perception.sight import CameraPlace, Sight
from knuckle.sim.objects import OBJECTS, object_shape

HAND = hand_spec("dclaw3")
CAMERA = CameraPlace(HAND, paper_extrinsics())
AT = np.array([0.0, 0.0, 0.10])


@pytest.fixture(scope="module")
def model() -> ObjectModel:
    return ObjectModel(object_shape("letter_j"))


def evidence_of(model: ObjectModel, pose: Poses, table: bool = True) -> Evidence:
    """What a perfect camera without anything else in view would measure of the object: the points turned to it."""
    cloud = model.thing.cloud(4000, seed=5)
    world = cloud @ pose.turn[0].T + pose.position[0]
    step = 1e-4 * np.eye(3)
    slope = np.stack([model.thing.distance(cloud + s) - model.thing.distance(cloud - s) for s in step], axis=-1)
    seen = np.einsum("ni,ni->n", slope @ pose.turn[0].T, CAMERA.position - world) > 0.0
    points = world[seen].astype(np.float32)
    sight = Sight(CAMERA, points, np.zeros(len(points), dtype=bool))
    return Evidence(points, sight, CAMERA.position.astype(np.float32), table)


@pytest.mark.parametrize("name", sorted(OBJECTS)[::5])
def test_the_grid_knows_the_distance_beside_the_surface_and_grows_beyond_its_edge(name: str) -> None:
    thing = object_shape(name)
    model, rng = ObjectModel(thing), np.random.default_rng(0)
    points = thing.cloud(2000, seed=3) + rng.uniform(-0.003, 0.003, (2000, 3))
    value, gradient = model.distance(points.astype(np.float32))
    error = np.abs(value - thing.distance(points))
    assert np.percentile(error, 95) < 8e-4 and error.max() < 2e-3
    assert np.median(np.abs(np.linalg.norm(gradient, axis=1) - 1.0)) < 0.02
    way = rotations.rotate(rotations.random(rng, 50), np.array([1.0, 0.0, 0.0]))
    near, far = (model.distance((r * way).astype(np.float32))[0] for r in (0.15, 0.3))
    assert (near > 0.0).all() and (far > near).all()


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_steps_lead_back_from_a_small_error(seed: int) -> None:
    model, rng = ObjectModel(object_shape("letter_j"), 0.003), np.random.default_rng(seed)
    true = one_pose(AT, rotations.random(rng, 1)[0])
    evidence = evidence_of(model, true)
    off = true.moved(np.concatenate([rng.uniform(-0.005, 0.005, 3), rng.uniform(-0.12, 0.12, 3)])[None])
    back = refine(model, evidence, off, (0.012, 0.008, 0.006, 0.004, 0.004, 0.004), 100)
    worse, better = fit(model, evidence, off, 0.004, 200).cost[0], fit(model, evidence, back, 0.004, 200).cost[0]
    assert better < 0.03 and better <= worse


def test_surface_that_was_looked_through_and_surface_below_the_table_speak_against_a_pose(model: ObjectModel) -> None:
    true = one_pose(AT, rotations.exp([0.3, -0.2, 0.5]))
    evidence = evidence_of(model, true)
    nearer = Poses(true.position + 0.05 * (CAMERA.position - AT) / np.linalg.norm(CAMERA.position - AT), true.turn)
    assert fit(model, evidence, true, 0.004, 200).gap[0] < 0.03 < 0.3 < fit(model, evidence, nearer, 0.004, 200).gap[0]
    sunk = one_pose(np.array([0.0, 0.0, 0.01]), rotations.exp([0.3, -0.2, 0.5]))
    on_table, in_air = (evidence_of(model, sunk, table) for table in (True, False))
    assert fit(model, on_table, sunk, 0.004, 200).gap[0] > 0.1 > 0.03 > fit(model, in_air, sunk, 0.004, 200).gap[0]


def test_what_the_camera_saw_says_what_is_free_and_what_is_hidden(film: Any) -> None:
    thing = object_shape("duck")
    cloud = film(thing, [(AT, rotations.IDENTITY)])[0]
    from knuckle.hardware.spec.kinematics import base_to_world

    world = base_to_world(HAND, cloud.points.astype(np.float64)).astype(np.float32)
    sight = Sight(CAMERA, world, cloud.label == TABLE)
    eye = CAMERA.position.astype(np.float32)
    on_object = world[cloud.label == OBJECT]
    before, aside, _ = sight.look(on_object)
    assert (before < 0.012).mean() > 0.97 and (aside > 0.0).mean() < 0.03
    assert (sight.look(eye + 0.8 * (on_object - eye))[0] > 0.05).mean() > 0.9
    assert (sight.look(eye + 1.1 * (on_object - eye))[0] < 0.0).all()
    beside = on_object + np.float32(0.0) + np.array([0.0, 0.25, 0.0], dtype=np.float32)
    assert np.median(sight.look(beside)[1]) > 0.05


def test_rotations_are_spread_evenly_and_always_the_same() -> None:
    q = spread_rotations(480)
    assert np.array_equal(q, spread_rotations(480)) and np.allclose(np.linalg.norm(q, axis=1), 1.0)
    drawn = rotations.random(np.random.default_rng(0), 400)
    nearest = np.degrees(rotations.angle_between(drawn[:, None], q[None]).min(axis=1))
    assert nearest.max() < 35.0
    assert np.allclose(np.linalg.det(rotation_matrices(60)), 1.0)


def moving_filter() -> PoseFilter:
    c = np.diag([1e-8] * 3 + [1e-6] * 3)
    return PoseFilter(AT, rotations.IDENTITY, c, acceleration=1.5, spin_change=20.0, decay_s=0.2)


def test_the_filter_knows_the_velocities_of_a_steady_motion_and_lets_them_decay_unseen() -> None:
    state, c = moving_filter(), np.diag([1e-8] * 3 + [1e-6] * 3)
    velocity, spin = np.array([0.05, -0.02, 0.01]), np.array([1.0, 2.0, -0.5])
    for k in range(1, 12):
        state.predict(1.0 / 12.0)
        state.update(AT + k / 12.0 * velocity, rotations.exp(k / 12.0 * spin), c)
    assert np.linalg.norm(state.velocity - velocity) < 0.005 and np.linalg.norm(state.spin - spin) < 0.1
    spins = []
    for _ in range(4):
        before = np.trace(state.covariance)
        state.predict(1.0 / 12.0)
        assert np.trace(state.covariance) > before and np.linalg.eigvalsh(state.p).min() > -1e-12
        spins.append(float(np.linalg.norm(state.spin)))
    assert all(a > b for a, b in pairwise(spins)) and spins[-1] < 0.5 * np.linalg.norm(spin)


def test_a_measurement_that_knows_nothing_changes_nothing() -> None:
    state = moving_filter()
    state.update(AT + 1.0, rotations.exp([1.0, 0.0, 0.0]), 1e9 * np.eye(6))
    assert np.allclose(state.position, AT, atol=1e-6)
    assert rotations.angle_between(state.quaternion, rotations.IDENTITY) < 1e-6
