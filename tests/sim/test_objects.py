"""The objects: sizes, masses, families, and that none looks like itself after a turn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Primitive
from knuckle.hardware.spec.object_shape import ObjectShape, bounds, shape
from knuckle.sim.asymmetry import THRESHOLD, require_asymmetric, rotation_grid, self_distance
from knuckle.sim.objects import FAMILIES, NOVEL, OBJECTS, PARTS, TRAIN, family_of, object_names, object_shape

GREY = (0.5, 0.5, 0.5)


def of(*parts: Primitive) -> ObjectShape:
    return shape("thing", 0.1, list(parts), GREY)


SYMMETRIC = {
    "cube": of(Primitive("box", (0.05, 0.05, 0.05), (0.0, 0.0, 0.0))),
    "brick": of(Primitive("box", (0.02, 0.035, 0.06), (0.01, 0.0, 0.0))),
    "cylinder": of(Primitive("cylinder", (0.03, 0.06), (0.0, 0.0, 0.0))),
    "ball": of(Primitive("sphere", (0.04,), (0.0, 0.0, 0.0))),
    "dumbbell": of(
        Primitive("sphere", (0.03,), (0.0, 0.0, 0.05)),
        Primitive("sphere", (0.03,), (0.0, 0.0, -0.05)),
        Primitive("capsule", (0.01, 0.05), (0.0, 0.0, 0.0)),
    ),
    "letter T": of(
        Primitive("box", (0.05, 0.01, 0.02), (0.0, 0.05, 0.0)), Primitive("box", (0.01, 0.05, 0.02), (0.0, 0.0, 0.0))
    ),
    "letter S": of(
        Primitive("box", (0.04, 0.01, 0.02), (0.03, 0.05, 0.0)),
        Primitive("box", (0.01, 0.05, 0.02), (0.0, 0.0, 0.0)),
        Primitive("box", (0.04, 0.01, 0.02), (-0.03, -0.05, 0.0)),
    ),
}


FIRST_SIX = ("letter_f", "letter_j", "hammer", "bunny", "truck", "duck")


def test_there_are_enough_objects_of_the_papers_sizes_and_masses() -> None:
    assert len(OBJECTS) >= 24
    for name in OBJECTS:
        thing = object_shape(name)
        assert thing.name == name
        assert 0.095 <= thing.extent.max() <= 0.165
        assert thing.extent.min() >= 0.035
        assert 0.050 <= thing.mass <= 0.244
        assert 2 <= len(thing.primitives) <= PARTS


def test_a_family_is_wholly_for_training_or_wholly_novel() -> None:
    assert set(TRAIN).isdisjoint(NOVEL)
    assert sorted(TRAIN + NOVEL) == sorted(OBJECTS)
    assert sorted(name for members in FAMILIES.values() for name in members) == sorted(OBJECTS)
    trained = {family for family, members in FAMILIES.items() if set(members) <= set(TRAIN)}
    novel = {family for family, members in FAMILIES.items() if set(members) <= set(NOVEL)}
    assert trained | novel == set(FAMILIES)
    assert len(TRAIN) >= 16
    assert len(trained) >= 4
    assert len(NOVEL) >= 8
    assert len(novel) >= 2
    assert set(FIRST_SIX) <= set(TRAIN)


def test_objects_are_chosen_by_split_family_or_name() -> None:
    assert object_names("train") == TRAIN
    assert object_names("novel") == NOVEL
    assert sorted(object_names("all")) == sorted(OBJECTS)
    assert object_names("duck") == ("duck",)
    for family, members in FAMILIES.items():
        assert object_names(family) == members
        assert {family_of(name) for name in members} == {family}


def test_no_name_means_both_a_family_and_an_object() -> None:
    assert len({"train", "novel", "all", *FAMILIES, *OBJECTS}) == 3 + len(FAMILIES) + len(OBJECTS)


def test_an_unknown_family_or_object_is_one_line_that_lists_what_there_is() -> None:
    with pytest.raises(
        InputError, match=r"--objects: unknown object or family 'kichen'; did you mean 'kitchen'\?"
    ) as e:
        object_names("kichen", where="--objects")
    assert "\n" not in str(e.value)
    for known in ("train", "novel", "all", *FAMILIES, *OBJECTS):
        assert known in str(e.value)
    with pytest.raises(InputError, match="unknown object 'letters'"):
        family_of("letters")


def test_two_objects_never_look_alike() -> None:
    names = sorted(OBJECTS)
    for k, name in enumerate(names):
        cloud = object_shape(name).cloud(200)
        for other in names[k + 1 :]:
            assert np.abs(object_shape(other).distance(cloud)).mean() > THRESHOLD


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_no_turn_maps_an_object_onto_itself(name: str) -> None:
    figure = require_asymmetric(object_shape(name))
    assert figure.distance >= THRESHOLD


def test_a_symmetric_object_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="thing looks like itself after a turn"):
        require_asymmetric(SYMMETRIC["brick"])


@pytest.mark.parametrize("name", sorted(SYMMETRIC))
def test_a_symmetric_object_fails_the_check(name: str) -> None:
    figure = self_distance(SYMMETRIC[name])
    assert not figure.asymmetric
    assert figure.distance < 0.2 * THRESHOLD


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_all_parts_of_an_object_hang_together(name: str) -> None:
    parts = object_shape(name).primitives
    inside = [of_part(p, 60) for p in parts]
    joined, waiting = {0}, set(range(1, len(parts)))
    while waiting:
        near = {k for k in waiting if any(touch(parts[j], inside[k]) or touch(parts[k], inside[j]) for j in joined)}
        assert near, f"{sorted(waiting)} float beside {sorted(joined)}"
        joined |= near
        waiting -= near


def of_part(part: Primitive, n: int) -> np.ndarray:
    return ObjectShape("part", 1.0, (part,), GREY).cloud(n * 10)


def touch(part: Primitive, points: np.ndarray) -> bool:
    return bool(ObjectShape("part", 1.0, (part,), GREY).distance(points).min() < 1e-3)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_an_object_is_not_convex(name: str) -> None:
    thing = object_shape(name)
    cloud = thing.cloud(400)
    rng = np.random.default_rng(0)
    middles = 0.5 * (cloud[rng.integers(0, 400, 2000)] + cloud[rng.integers(0, 400, 2000)])
    assert thing.distance(middles).max() > 0.004


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_the_cloud_lies_on_the_surface_and_within_the_bounds(name: str) -> None:
    thing = object_shape(name)
    cloud = thing.cloud(300, seed=2)
    assert np.abs(thing.distance(cloud)).max() < 1e-9
    low, high = bounds(thing.primitives)
    assert (cloud >= low - 1e-9).all()
    assert (cloud <= high + 1e-9).all()
    np.testing.assert_allclose(high - low, thing.extent)
    assert (thing.cloud(300, seed=2) == cloud).all()


def test_the_bounds_of_a_turned_cylinder_are_exact() -> None:
    tilt = math.radians(30.0)
    thing = Primitive("cylinder", (0.02, 0.05), (0.0, 0.0, 0.0), (math.cos(tilt / 2), 0.0, math.sin(tilt / 2), 0.0))
    rim = np.linspace(0.0, 2.0 * np.pi, 20001)
    points = np.stack([0.02 * np.cos(rim), 0.02 * np.sin(rim), np.full_like(rim, 0.05)], axis=1)
    highest = rotations.rotate(np.array(thing.quaternion), points).max(axis=0)
    np.testing.assert_allclose(bounds((thing,))[1], highest, atol=1e-7)


def test_an_unknown_object_is_named_with_the_nearest_known() -> None:
    with pytest.raises(InputError, match=r"unknown object 'hamer'; did you mean 'hammer'\?"):
        object_shape("hamer")


def test_the_grid_of_rotations_leaves_no_large_hole() -> None:
    grid = rotation_grid(1500)
    np.testing.assert_allclose(np.linalg.norm(grid, axis=1), 1.0)
    probes = rotations.random(np.random.default_rng(0), 300)
    nearest = rotations.angle_between(probes[:, None], grid[None]).min(axis=1)
    assert nearest.max() < 0.45
