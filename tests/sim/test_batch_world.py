"""The batch world: the same physics as one world alone, the task's rules, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.engine import mujoco
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.observation import ReorientObservation
from knuckle.sim.reorient.randomisation import OFF, Randomisation
from knuckle.sim.scene import STATE, TABLE_GEOM

HAND = hand_spec("dclaw3")
OBJECTS = ("truck", "duck", "letter_f")
Maker = Callable[..., BatchWorld]


@pytest.fixture
def make(start_folder: Path, tmp_path: Path) -> Maker:
    def build(draws: Randomisation | None = None, **settings: Any) -> BatchWorld:
        config = BatchConfig(**({"worlds": 6, "cached_starts": 8, "threads": 1, "rung": "60"} | settings))
        return BatchWorld(HAND, OBJECTS, config, draws=draws, cache_folder=start_folder, fault_folder=tmp_path)

    return build


def actions(seed: int, steps: int, worlds: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, worlds, HAND.dof))


@pytest.mark.parametrize(("physics", "substeps"), [("training", 5), ("execution", 10)])
def test_each_world_steps_as_it_would_alone_bit_for_bit(make: Maker, physics: str, substeps: int) -> None:
    world = make(physics=physics, randomisation="default", draws=None, starts="mixed")
    quiet = make(physics=physics, starts="mixed")
    chart, smoothed = ActionMap(HAND), np.zeros((6, 9))
    for action in actions(1, 4):
        before = quiet.states
        smoothed = chart.smooth(action, smoothed)
        quiet.step(action)
        for k, scene in enumerate(quiet.stepper.scenes):
            data = mujoco.MjData(scene.model)
            mujoco.mj_setState(scene.model, data, before[k], STATE)
            data.ctrl[:] = chart.target(scene.joints_of(before[k]), smoothed[k])
            for _ in range(substeps):
                mujoco.mj_step(scene.model, data)
            np.testing.assert_array_equal(scene.state_of(data), quiet.states[k])
    assert world.models.rows and not quiet.models.rows


def test_a_force_pushes_along_the_worlds_axes_for_a_sixtieth_of_a_second(make: Maker) -> None:
    for physics in ("training", "execution"):
        stepper = make(worlds=3, physics=physics).stepper
        scene, turned = stepper.scenes[0], rotations.random(np.random.default_rng(0), 1)[0]
        still, high = np.zeros(3), np.array([0.35, 0.0, 0.5])
        stepper.states[:] = scene.physics_state(HAND.home, np.zeros(9), high, turned, still, still)
        force = np.array([[0.3, 0.0, 0.0], [0.0, -0.6, 0.0], [0.0, 0.0, 0.0]])
        velocity, spin = scene.object_twist_of(stepper.advance(np.tile(HAND.home, (3, 1)), force))
        masses = np.array([one.thing.mass for one in stepper.scenes])
        pushed = velocity - velocity[2]
        np.testing.assert_allclose(pushed, force / masses[:, None] / 60, atol=1e-9)
        np.testing.assert_allclose(spin, 0.0, atol=1e-9)


def test_four_fingers_have_the_papers_109_numbers(start_folder: Path) -> None:
    config = BatchConfig(worlds=2, cached_starts=4, threads=1, surface="air", starts="mixed")
    world = BatchWorld(hand_spec("dclaw4"), ("truck", "duck"), config, cache_folder=start_folder)
    seen, *_ = world.step(np.zeros((2, 12)))
    assert seen.shape == (2, 109) and world.spec.width == 109 and len(world.spec.actions) == 12
    assert sum(entry.shape[0] for entry in world.spec.observation) == 109


def test_the_observation_is_that_of_the_one_builder(make: Maker) -> None:
    world = make(worlds=3)
    action = actions(2, 1, 3)[0]
    seen, *_ = world.step(action)
    scene, states = world.stepper.scenes[0], world.states
    pose, twist = scene.object_pose_of(states), scene.object_twist_of(states)
    joints = scene.joints_of(states), scene.joint_rates_of(states)
    expected = ReorientObservation(HAND)(
        *joints, *pose, *twist, world.goal, ActionMap(HAND).smooth(action, np.zeros(9))
    )
    np.testing.assert_allclose(seen, expected, atol=1e-12)
    assert [name for name, _ in world.spec.columns][9:12] == [f"joint_rate.joint_f1_{k}" for k in range(3)]
    assert world.spec.width == seen.shape[1] == 87


def test_reset_with_a_mask_touches_only_those_worlds(make: Maker) -> None:
    world = make(randomisation="default", worlds=4)
    for action in actions(3, 3, 4):
        seen, *_ = world.step(action)
    mask = np.array([False, True, False, True])
    before, goals, masses = world.states, world.goal, world.models.mass.copy()
    again = world.reset(mask)
    for kept, old, new in ((~mask, True, False), (mask, False, True)):
        for was, now in ((before, world.states), (goals, world.goal), (seen, again)):
            same = (was[kept] == now[kept]).all(axis=1)
            assert same.all() if old else not same.any()
        assert np.array_equal(masses[kept], world.models.mass[kept]) is old and (
            world.steps[kept] == 0
        ).all() is np.bool_(new)
    np.testing.assert_array_equal(world.reset(np.zeros(4, dtype=bool)), again)


def test_a_seed_gives_the_same_run_whatever_the_number_of_threads(make: Maker) -> None:
    runs = []
    for threads, seed in ((1, 5), (2, 5), (1, 6)):
        world, seen = make(threads=threads, seed=seed, randomisation="default", starts="mixed"), []
        for action in actions(4, 5):
            seen.append(np.concatenate([world.step(action)[0], world.reset(world.steps >= 3)]))
        runs.append(np.stack(seen))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("rung", ["yaw60", "60", "90", "so3"])
def test_doing_nothing_scores_zero(make: Maker, rung: str) -> None:
    world = make(worlds=24, rung=rung)
    reached = np.zeros(24, dtype=bool)
    for _ in range(36):
        world.step(np.zeros((24, 9)))
        reached |= world.info["success"]
    assert not reached.any()


def test_a_goal_that_is_reached_at_rest_pays_and_is_followed_by_another(make: Maker) -> None:
    world = make(worlds=3)
    for _ in range(4):
        world.step(np.zeros((3, 9)))
    here = world.stepper.scenes[0].object_pose_of(world.states)[1]
    turned = rotations.multiply(rotations.from_axis_angle(np.array([0, 0, 1.0]), np.array(0.5)), here[1])
    world.set_goals(np.stack([here[0], turned, here[2]]))
    action = np.zeros((3, 9))
    action[2] = 0.5  # norm 1.5 times 0.8: too much to count as at rest
    seen, reward, terminated, truncated = world.step(action)
    assert world.info["success"].tolist() == [True, False, False] and not (terminated | truncated).any()
    assert reward[0] > 790.0 and world.info["reward_success"].tolist() == [800.0, 0.0, 0.0]
    total = sum(value for name, value in world.info.items() if name.startswith("reward_"))
    np.testing.assert_allclose(reward, total)
    angles = rotations.angle_between(world.stepper.scenes[0].object_pose_of(world.states)[1], world.goal)
    assert np.radians(45) - 1e-6 <= angles[0] <= np.radians(75) + 1e-6
    left = seen[:, world.build.slices["quaternion_difference"].start]
    np.testing.assert_allclose(left, np.cos(angles / 2), atol=1e-9)


def test_an_object_that_left_terminates_and_time_truncates(make: Maker) -> None:
    world = make(worlds=3, episode_s=0.5)
    position = world.stepper.scenes[0].object_q.start + 1
    for k in range(1, 7):
        if k == 4:
            world.stepper.states[1, position] += 0.2
        _, reward, terminated, truncated = world.step(np.zeros((3, 9)))
        assert terminated.tolist() == [False, k >= 4, False]
        assert truncated.tolist() == [k == 6, False, k == 6]
    assert world.info["reward_fall"].tolist() == [0.0, -100.0, 0.0] and reward[1] < -50.0


def test_in_the_air_the_table_goes_after_two_seconds_and_is_back_with_the_next_episode(make: Maker) -> None:
    world = make(worlds=3, surface="air")
    tables = [model.geom(TABLE_GEOM) for model in world.stepper.models]
    for k in range(28):
        _, _, terminated, _ = world.step(np.zeros((3, 9)))
        assert all(bool(table.conaffinity[0]) == (k < 24) for table in tables)
        assert k >= 24 or not terminated.any()
    # Nothing holds them: 5 cm below the lowest fingertip long before 15 cm below the start.
    assert terminated.all()
    world.reset(np.array([True, False, False]))
    assert [bool(table.conaffinity[0]) for table in tables] == [True, False, False]


def test_touching_the_table_costs_and_forbids_success_where_that_is_asked_for(make: Maker, start_folder: Path) -> None:
    from knuckle.sim.reorient.reward import RewardConfig

    config = BatchConfig(worlds=3, cached_starts=8, threads=1)
    world = BatchWorld(HAND, OBJECTS, config, reward=RewardConfig(table_contact=-1.0), cache_folder=start_folder)
    for _ in range(4):
        world.step(np.zeros((3, 9)))
    world.set_goals(world.stepper.scenes[0].object_pose_of(world.states)[1])
    world.step(np.zeros((3, 9)))
    assert world.info["reward_table_contact"].tolist() == [-1.0] * 3 and not world.info["success"].any()


def test_randomisation_off_leaves_models_as_they_were_compiled(make: Maker) -> None:
    world = make(draws=OFF, worlds=3)
    assert world.models.mass.tolist() == pytest.approx([scene.thing.mass for scene in world.stepper.scenes])
    first, second = world.step(np.zeros((3, 9)))[0], world.set_goals(world.goal)
    np.testing.assert_array_equal(first, second)
