"""Episodes that begin in the midst of an expert's: the state that an observation tells of, and its goal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.demonstrations import Shown, moments
from knuckle.sim.reorient.episode_goals import GIVEN

HAND = hand_spec("dclaw3")
CONFIG = BatchConfig(worlds=8, threads=1, cached_starts=4, rung="so3", seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("starts")


def shown(observations: np.ndarray, left: int = 1) -> dict[str, Shown]:
    return {"truck": Shown(observations, np.full(len(observations), left))}


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
    world = BatchWorld(HAND, ("truck",), CONFIG, cache_folder=folder, shown=shown(seen[:1]), shown_share=1.0)
    first = world.reset()
    still = {"previous_action"}
    for name, where in world.build.slices.items():
        if name not in still:
            np.testing.assert_allclose(first[:, where], np.tile(seen[:1, where], (8, 1)), atol=1e-9, err_msg=name)
    assert {world.goals.rung_of(k) for k in range(8)} == {GIVEN}


def test_half_of_them_do_where_half_are_wanted(folder: Path) -> None:
    _, seen = moved(folder)
    config = BatchConfig(worlds=400, threads=1, cached_starts=4, rung="so3", seed=5)
    world = BatchWorld(HAND, ("truck",), config, cache_folder=folder, shown=shown(seen), shown_share=0.5)
    given = sum(world.goals.rung_of(k) == GIVEN for k in range(400))
    assert 150 < given < 250


def test_they_begin_within_reach_of_the_goal_and_are_cut_off_soon_after(folder: Path) -> None:
    _, seen = moved(folder)
    far = {"truck": Shown(seen, np.array([20, 3, 9, 1, 30, 2, 8, 40]))}
    world = BatchWorld(HAND, ("truck",), CONFIG, cache_folder=folder, shown=far, shown_share=1.0)
    assert world.shown is not None and world.shown.furthest == 40
    near, places = {1, 3, 5}, world.build.slices["object_position"]
    world.shown.reach = 3
    begun = {
        int(np.abs(seen[:, places] - row).sum(axis=1).argmin()) for _ in range(20) for row in world.reset()[:, places]
    }
    assert begun == near
    for _ in range(world.shown_steps):
        _, _, left, cut = world.step(np.zeros((8, HAND.dof)))
    assert world.shown_steps == 3 + 24 and (cut | left).all()


def test_the_nearest_moments_are_within_reach_in_any_case(folder: Path) -> None:
    _, seen = moved(folder)
    world = BatchWorld(HAND, ("truck",), CONFIG, cache_folder=folder, shown=shown(seen, 50), shown_share=1.0)
    assert world.goals.rung_of(0) == GIVEN


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "there are none"),
        (np.zeros((3, 5)), "observations of shape"),
        (np.full((3, 87), np.nan), "observations of shape"),
    ],
)
def test_what_shows_nothing_is_refused(folder: Path, rows: np.ndarray | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        BatchWorld(
            HAND,
            ("truck",),
            CONFIG,
            cache_folder=folder,
            shown={} if rows is None else shown(rows),
            shown_share=0.5,
        )
