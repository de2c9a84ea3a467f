"""A known object in labelled clouds: found, followed through turns and occlusion, and lost where it must be."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import ConfigError, InputError
from knuckle.hardware.spec.hand_spec import Array, Primitive
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import paper_extrinsics
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.perception.cloud import Cloud
from knuckle.perception.labels import OBJECT, TABLE
from knuckle.perception.object_pose import ObjectEstimate, ObjectPoseConfig, ObjectPoseTracker
from knuckle.sim.objects import object_shape

AXIS = np.array([0.36, -0.48, 0.8])
DT_S = 1.0 / 12.0


def tracker(thing: ObjectShape, **settings: Any) -> ObjectPoseTracker:
    return ObjectPoseTracker(thing, hand_spec("dclaw3"), paper_extrinsics(), ObjectPoseConfig(**settings))


def turning(n: int, spin: float, seed: int = 0) -> list[tuple[Array, Array]]:
    """Poses above the table, between the fingers: a turn of ``spin`` rad/s and a slow drift."""
    begin = rotations.random(np.random.default_rng(seed), 1)[0]
    turns = [rotations.from_axis_angle(AXIS, np.array(spin * DT_S * k)) for k in range(n)]
    at = np.array([0.0, 0.0, 0.10])
    return [(at + 0.03 * DT_S * k * np.array([1.0, 0, 0]), rotations.multiply(t, begin)) for k, t in enumerate(turns)]


def errors(seen: ObjectEstimate, pose: tuple[Array, Array]) -> tuple[float, float]:
    """Degrees and millimetres to the true pose."""
    angle = float(np.degrees(rotations.angle_between(seen.quaternion, pose[1])))
    return angle, 1e3 * float(np.linalg.norm(seen.position - pose[0]))


def without_object(cloud: Cloud) -> Cloud:
    kept = cloud.label != OBJECT
    return Cloud(cloud.stamp_ns, cloud.points[kept], cloud.label[kept])


@pytest.mark.parametrize("name", ["letter_f", "hammer", "bunny", "truck"])
@pytest.mark.parametrize("seed", [1, 2])
def test_an_object_is_found_in_a_single_cloud(name: str, seed: int, film: Any) -> None:
    thing, poses = object_shape(name), turning(1, 0.0, seed)
    seen = tracker(thing).push(film(thing, poses)[0])
    angle, offset = errors(seen, poses[0])
    assert angle < 2.0 and offset < 1.5
    assert seen.measured and seen.inliers > 0.9 and np.array_equal(seen.velocity, np.zeros(3))


@pytest.mark.parametrize("name", ["letter_j", "duck"])
def test_a_fast_turn_is_followed_with_its_velocities(name: str, film: Any) -> None:
    thing, poses = object_shape(name), turning(12, 6.0, 3)
    follower = tracker(thing)
    seen = [follower.push(cloud) for cloud in film(thing, poses)]
    believed = [errors(s, p) for s, p in zip(seen, poses, strict=True) if not s.lost]
    assert max(angle for angle, _ in believed) < 3.0 and max(offset for _, offset in believed) < 2.0
    assert not any(s.lost for s in seen[4:])
    assert np.linalg.norm(seen[-1].spin - 6.0 * AXIS) < 0.5
    assert np.linalg.norm(seen[-1].velocity - [0.03, 0.0, 0.0]) < 0.02


def test_an_object_at_rest_counts_as_still_in_spite_of_the_noise(film: Any) -> None:
    thing, poses = object_shape("bunny"), turning(1, 0.0, 4) * 10
    follower = tracker(thing)
    seen = [follower.push(cloud) for cloud in film(thing, poses)]
    assert max(float(np.linalg.norm(s.spin)) for s in seen[2:]) < 0.2
    assert max(float(np.linalg.norm(s.velocity)) for s in seen[2:]) < 0.015


def test_a_hidden_object_is_guessed_with_growing_doubt_then_lost_and_found_again_elsewhere(film: Any) -> None:
    thing, poses = object_shape("truck"), turning(6, 2.0, 5)
    away = (poses[-1][0] + [0.03, -0.02, 0.01], rotations.multiply(rotations.exp([0.0, 2.0, 0.5]), poses[-1][1]))
    clouds = film(thing, poses + [poses[-1]] * 8 + [away] * 3)
    follower = tracker(thing)
    before = [follower.push(cloud) for cloud in clouds[:6]][-1]
    hidden = [follower.push(without_object(cloud)) for cloud in clouds[6:14]]
    assert not before.lost and not hidden[0].lost and not any(s.measured for s in hidden)
    doubts = [np.trace(s.covariance[3:, 3:]) for s in [before, *hidden]]
    assert all(a < b for a, b in pairwise(doubts))
    assert hidden[-1].lost
    again = [follower.push(cloud) for cloud in clouds[14:]][-1]
    assert not again.lost and errors(again, away)[0] < 2.0 and errors(again, away)[1] < 1.5


def test_a_jump_is_either_followed_or_said_to_be_lost(film: Any) -> None:
    thing, rng = object_shape("letter_f"), np.random.default_rng(6)
    poses = [
        pose for k in range(8) for pose in [(np.array([0.01 * (k % 3), 0.0, 0.1]), rotations.random(rng, 1)[0])] * 2
    ]
    follower = tracker(thing)
    for cloud, pose in zip(film(thing, poses), poses, strict=True):
        seen = follower.push(cloud)
        assert seen.lost or errors(seen, pose)[0] < 3.0
    assert not seen.lost


def test_what_cannot_be_told_apart_is_a_doubt_and_not_a_guess(film: Any) -> None:
    """A cube with a peg that the camera does not see: four poses explain the cloud, and the covariance spans them."""
    cube = Primitive("box", (0.04, 0.04, 0.04), (0.0, 0.0, 0.0))
    peg = Primitive("box", (0.008, 0.008, 0.008), (0.0, 0.0, -0.048))
    thing = ObjectShape("pegged_cube", 0.1, (cube, peg), (0.5, 0.5, 0.5))
    seen = tracker(thing).push(film(thing, [(np.array([0.0, 0.0, 0.06]), rotations.exp([0.0, 0.0, 0.4]))])[0])
    assert seen.measured and seen.rivals >= 1
    assert seen.lost and np.sqrt(np.linalg.eigvalsh(seen.covariance[3:, 3:])[-1]) > 0.8


def test_the_same_clouds_give_the_same_bits_also_after_a_reset(film: Any) -> None:
    thing, poses = object_shape("hammer"), turning(4, 3.0, 7)
    clouds = film(thing, poses)
    first, second = tracker(thing), tracker(thing)
    runs = [[t.push(cloud) for cloud in clouds] for t in (first, second)]
    first.reset()
    runs.append([first.push(cloud) for cloud in clouds])
    for run in runs[1:]:
        for a, b in zip(runs[0], run, strict=True):
            assert np.array_equal(a.quaternion, b.quaternion) and np.array_equal(a.spin, b.spin)
            assert np.array_equal(a.covariance, b.covariance) and a.lost == b.lost


def test_an_object_that_is_not_there_is_refused_at_the_start_in_one_line(film: Any) -> None:
    thing = object_shape("duck")
    cloud = film(thing, turning(1, 0.0))[0]
    empty = Cloud(1, np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=np.uint8))
    labelled_away = replace(cloud, label=np.full_like(cloud.label, TABLE))
    for bad in (empty, labelled_away):
        with pytest.raises(InputError, match=r"^object cloud: 0 object points; at least 25 to start: is the object"):
            tracker(thing).push(bad)


def test_another_object_than_the_one_in_view_is_refused_after_its_patience(film: Any) -> None:
    clouds = film(object_shape("letter_f"), turning(1, 0.0, 8) * 3)
    follower = tracker(object_shape("letter_j"), patience=3)
    assert all(follower.push(cloud).lost for cloud in clouds[:2])
    with pytest.raises(
        InputError, match=r"^object cloud: no pose of 'letter_j' explains the points: .*; .*that object\?$"
    ):
        follower.push(clouds[2])


def test_clouds_that_make_no_sense_are_refused_and_change_nothing(film: Any) -> None:
    thing, poses = object_shape("truck"), turning(3, 1.0, 9)
    clouds = film(thing, poses)
    follower, other = tracker(thing), tracker(thing)
    for cloud in clouds[:2]:
        follower.push(cloud), other.push(cloud)
    good = clouds[2]
    nowhere = good.points.copy()
    nowhere[3, 1] = np.nan
    for bad, line in (
        (replace(good, points=good.points[:, :2]), r"points \(\d+, 2\) with labels .*; points \(n, 3\)"),
        (replace(good, label=good.label[:-1]), r"points \(\d+, 3\) with labels .*; points \(n, 3\)"),
        (replace(good, points=nowhere), "1 points are not finite; finite metres"),
        (replace(good, stamp_ns=clouds[1].stamp_ns), "stamp .* after .*; stamps that grow"),
        (replace(good, stamp_ns=0), "stamp 0 ns after .*; stamps that grow"),
    ):
        with pytest.raises(InputError, match=f"^object cloud: {line}"):
            follower.push(bad)
    assert np.array_equal(follower.push(good).quaternion, other.push(good).quaternion)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=r"object_pose\.grid_m: 1\.0 is out of range"):
        tracker(object_shape("duck"), grid_m=1.0)
