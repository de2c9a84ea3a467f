"""Episodes that begin in a grasp, without the table: the object is held or it falls, and what is meant is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_state import capture, restore
from knuckle.sim.reorient.batch_world import HELD, BatchWorld
from knuckle.sim.reorient.episode_meter import EpisodeMeter

HAND = hand_spec("dclaw3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("starts")


def worlds(folder: Path, **changes: object) -> BatchWorld:
    options = {"worlds": 8, "threads": 1, "cached_starts": 16, "rung": "30", "seed": 2, "held_share": 1.0}
    return BatchWorld(HAND, ("truck",), BatchConfig(**(options | changes)), cache_folder=folder)  # type: ignore[arg-type]


def test_what_the_hand_lets_go_falls_and_ends_the_episode(folder: Path) -> None:
    world = worlds(folder)
    assert [world.kind_of(k) for k in range(8)] == [HELD] * 8
    fallen = np.zeros(8, dtype=bool)
    for _ in range(24):
        fallen |= world.step(np.zeros((8, HAND.dof)))[2]
    assert fallen.all()


def test_what_the_hand_holds_stays_without_the_table(folder: Path) -> None:
    world = worlds(folder)
    stable = world.starts._stable[0]
    joints = 1 + np.arange(HAND.dof) + world.stepper.scenes[0].joint_q.start
    grasp = np.array([np.abs(stable.grasps[:, joints] - row[joints]).sum(axis=1).argmin() for row in world.states])
    fallen = np.zeros(8, dtype=bool)
    for _ in range(24):
        wanted = (stable.targets[grasp] - world.states[:, joints]) / world.chart.step_rad
        fallen |= world.step(np.clip(wanted, -1.0, 1.0))[2]
    assert not fallen.any()


def test_the_table_is_there_again_for_the_next_episode_and_kept_with_the_state(folder: Path) -> None:
    world, meter = worlds(folder, held_share=0.5), EpisodeMeter(8)
    held = np.array([world.kind_of(k) == HELD for k in range(8)])
    assert held.any() and not held.all()
    assert (world._table_gone == held).all()
    arrays, facts = capture(world, meter)
    actions = np.zeros((8, HAND.dof))
    after = world.step(actions)[0]
    again = worlds(folder, held_share=0.5, seed=9)
    restore(again, EpisodeMeter(8), arrays, facts)
    np.testing.assert_array_equal(again.step(actions)[0], after)
    for _ in range(4):
        world.reset()
        now = np.array([world.kind_of(k) == HELD for k in range(8)])
        assert (world._table_gone == now).all()


def test_starts_that_know_no_grasps_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="know no grasps"):
        worlds(folder, starts="table")
