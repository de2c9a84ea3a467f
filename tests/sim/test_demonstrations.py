"""Episodes that begin in the midst of an expert's: the state that an observation tells of, and its goal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.demonstrations import moments
from knuckle.sim.reorient.episode_goals import GIVEN

HAND = hand_spec("dclaw3")
CONFIG = BatchConfig(worlds=8, threads=1, cached_starts=4, rung="so3", seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("starts")


def moved(folder: Path) -> tuple[BatchWorld, np.ndarray]:
    """Worlds in motion, and what is seen of them."""
    world = BatchWorld(HAND, ("truck",), CONFIG, cache_folder=folder)
    rng = np.random.default_rng(0)
    for _ in range(8):
        seen, *_ = world.step(rng.uniform(-1.0, 1.0, (8, HAND.dof)))
    return world, seen


def test_the_state_that_an_observation_tells_of_is_the_state_it_was_made_of(folder: Path) -> None:
    world, seen = moved(folder)
    scene = world.stepper.scenes[0]
    told = moments(scene, world.build, seen)
    states = world.states
    quaternion = slice(1 + scene.object_q.start + 3, 1 + scene.object_q.start + 7)
    same = np.sign((told.states[:, quaternion] * states[:, quaternion]).sum(axis=1))
    told.states[:, quaternion] *= same[:, None]
    np.testing.assert_allclose(told.states[:, 1:], states[:, 1:], atol=1e-9)
    np.testing.assert_allclose(np.abs((told.goals * world.goal).sum(axis=1)), 1.0, atol=1e-9)


def test_worlds_begin_where_the_expert_was_with_the_goal_it_had(folder: Path) -> None:
    _, seen = moved(folder)
    world = BatchWorld(HAND, ("truck",), CONFIG, cache_folder=folder, shown={"truck": seen[:1]}, shown_share=1.0)
    first = world.reset()
    still = {"previous_action"}
    for name, where in world.build.slices.items():
        if name not in still:
            np.testing.assert_allclose(first[:, where], np.tile(seen[:1, where], (8, 1)), atol=1e-9, err_msg=name)
    assert {world.goals.rung_of(k) for k in range(8)} == {GIVEN}


def test_half_of_them_do_where_half_are_wanted(folder: Path) -> None:
    _, seen = moved(folder)
    config = BatchConfig(worlds=400, threads=1, cached_starts=4, rung="so3", seed=5)
    world = BatchWorld(HAND, ("truck",), config, cache_folder=folder, shown={"truck": seen}, shown_share=0.5)
    given = sum(world.goals.rung_of(k) == GIVEN for k in range(400))
    assert 150 < given < 250


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({}, "there are none"),
        ({"truck": np.zeros((3, 5))}, "observations of shape"),
        ({"truck": np.full((3, 87), np.nan)}, "observations of shape"),
    ],
)
def test_what_shows_nothing_is_refused(folder: Path, shown: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(InputError, match=said):
        BatchWorld(HAND, ("truck",), CONFIG, cache_folder=folder, shown=shown, shown_share=0.5)
