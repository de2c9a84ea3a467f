"""The tasks: what they show, when they are won, what is said where a package is missing; walks to be stitched."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError, RunError
from knuckle.policy.offline_data import environments
from knuckle.policy.offline_data.door import door_demonstrations, door_starts
from knuckle.policy.offline_data.environments import TASKS, offline_task, require_demonstrations, robotics_note
from knuckle.policy.offline_data.hand_export import hand_of
from knuckle.policy.offline_data.point_maze import (
    CLOSE,
    GOAL,
    GOAL_RADIUS,
    REACH,
    START,
    path_between,
    record_walks,
    waypoint_action,
)
from knuckle.policy.reorient_score import TIME_LIMIT_S
from knuckle.sim.reorient.observation import ReorientObservation

robotics = pytest.mark.skipif(
    importlib.util.find_spec("gymnasium_robotics") is None, reason="gymnasium-robotics is not installed"
)


def test_normalised_scores_are_d4rls() -> None:
    hopper, door = offline_task("hopper"), offline_task("door")
    assert hopper.normalised(-20.272305) == pytest.approx(0.0) and hopper.normalised(3234.3) == pytest.approx(100.0)
    # The mean return of the demonstrations is 29.0 in D4RL's measure.
    assert door.normalised(794.0) == pytest.approx(28.96, abs=0.01)
    assert offline_task("pointmaze").normalised(1.0) is None
    with pytest.raises(InputError, match="unknown task 'hoper'; did you mean 'hopper'"):
        offline_task("hoper")


def test_a_missing_gymnasium_robotics_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in ("door", "pointmaze"):
        with pytest.raises(RunError, match=r"not installed; pip install gymnasium-robotics==1\.4\.2"):
            offline_task(name).make()


def test_another_version_of_gymnasium_robotics_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "robotics_version", lambda: "1.4.3")
    assert robotics_note() == "gymnasium-robotics 1.4.3 is installed and scores here are of 1.4.2: returns may differ"
    monkeypatch.setattr(environments, "robotics_version", lambda: "1.4.2")
    assert robotics_note() == ""


def test_missing_demonstrations_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of recordings"):
        require_demonstrations(offline_task("door"), None)
    with pytest.raises(InputError, match=r"KNUCKLE_DATA with dapg/door_human_25\.npz in it"):
        require_demonstrations(offline_task("door"), tmp_path)


@robotics
@pytest.mark.parametrize("name", sorted(name for name, task in TASKS.items() if not task.rung))
def test_a_task_has_the_shapes_it_says_and_its_limit(name: str) -> None:
    task = offline_task(name)
    env = task.make()
    seen, _ = env.reset(seed=0)
    assert seen.shape == env.observation_space.shape == (task.observations,)
    assert env.action_space.shape == (task.actions,)
    _, _, _, _, info = env.step(env.action_space.low)
    assert ("success" in info) == bool(task.success)
    assert env.get_wrapper_attr("_max_episode_steps") == task.time_limit
    env.close()


def test_the_hands_own_task_has_its_widths_and_is_no_environment() -> None:
    task = offline_task("reorient-yaw60")
    hand = hand_of(task.environment)
    assert hand is not None and hand_of("Hopper-v5") is None and hand_of("knuckle/dclaw9") is None
    assert (task.observations, task.actions) == (ReorientObservation(hand).width, hand.dof)
    assert task.time_limit == TIME_LIMIT_S * hand.control_rate_hz
    with pytest.raises(InputError, match="no environment; knuckle collect to record"):
        task.make()


@robotics
def test_waypoints_lead_through_the_maze_and_the_goal_ends_the_task() -> None:
    env = offline_task("pointmaze").make()
    maze = env.unwrapped.maze
    path = path_between(maze.maze_map, START, GOAL)
    assert path[0] == START and path[-1] == GOAL and len(path) > REACH + 1
    seen, _ = env.reset(seed=1)
    assert maze.cell_xy_to_rowcol(seen[:2]).tolist() == list(START)
    places, over, won = [maze.cell_rowcol_to_xy(np.array(cell)) for cell in path], False, False
    goal, earned = places[-1], 0.0
    while not over:
        while len(places) > 1 and np.linalg.norm(seen[:2] - places[0]) < CLOSE:
            places.pop(0)
        action = np.clip(waypoint_action(seen, places[0]), -1, 1).astype(np.float32)
        seen, reward, won, cut, info = env.step(action)
        over, earned = won or cut, earned + reward
    assert won and info["success"] and earned == 1.0 and np.linalg.norm(seen[:2] - goal) <= GOAL_RADIUS
    env.close()


@robotics
def test_walks_reach_the_goal_and_none_comes_from_the_start() -> None:
    walks = record_walks(steps=6000, seed=0)
    inner = offline_task("pointmaze").make().unwrapped
    maze = inner.maze
    goal = maze.cell_rowcol_to_xy(np.array(GOAL))
    reached = 0
    for walk in walks.episodes:
        near = np.linalg.norm(walk.observations[:, :2] - goal, axis=1) <= GOAL_RADIUS
        cells = {tuple(maze.cell_xy_to_rowcol(xy).tolist()) for xy in walk.observations[:, :2]}
        reached += walk.terminated
        assert walk.terminated == bool(near[-1]) and not near[:-1].any()
        assert walk.rewards.sum() == float(walk.terminated)
        # Stitching is needed: who arrives did not set out at the start.
        assert not (walk.terminated and START in cells)
    assert reached > 0 and any(START in {tuple(w.facts["start_cell"])} for w in walks.episodes)
    again = record_walks(steps=6000, seed=0)
    np.testing.assert_array_equal(walks.transitions().actions, again.transitions().actions)


@robotics
@pytest.mark.data
def test_the_door_begins_as_the_demonstrations_do_and_their_replay_opens_it(data_folder: Path) -> None:
    path = data_folder / "dapg" / "door_human_25.npz"
    demonstrations, starts = door_demonstrations(path), door_starts(path)
    env = offline_task("door-300").make(data_folder)
    for k in (1, 16):
        env.reset(seed=k)
        np.testing.assert_allclose(env.unwrapped.get_env_state()["qpos"], starts[k]["qpos"])
    # The 17th demonstrator opens the door, and so does a replay of what was done.
    total, won = 0.0, False
    for action in demonstrations.episodes[16].actions:
        _, reward, ended, cut, info = env.step(action)
        total, won = total + float(reward), won or bool(info["success"])
        assert not ended and not cut
    assert won and total == pytest.approx(demonstrations.episodes[16].total, rel=0.1)
    env.reset()
    np.testing.assert_allclose(env.unwrapped.get_env_state()["qpos"], starts[17]["qpos"])
    env.close()
