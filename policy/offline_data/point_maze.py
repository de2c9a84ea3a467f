"""A point in a maze: one start, one goal, and recordings of short walks of which none leads from one to the other.

A controller walks from waypoint to waypoint between cells at most `REACH` cells apart; start and goal are farther. What
leads all the way can only be put together of several walks (stitching), which cloning alone does not.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.environments import offline_task, require_robotics
from knuckle.policy.offline_data.episode import Episode
from knuckle.policy.offline_data.recording import RecordingEnv

Cell = tuple[int, int]

START: Cell = (1, 1)
GOAL: Cell = (6, 6)
GOAL_RADIUS, CLOSE = 0.45, 0.2
"""Within the first of the goal the task is done; within the second of a waypoint the controller takes the next."""
GAIN, DAMPING = 10.0, 1.0
REACH = 6
WALK_LIMIT = 200


class MazeRun(gymnasium.Wrapper):
    """From `START` to `GOAL`: position and velocity (4,) are seen, the goal is always the same and is not.

    The reward is 1 at the goal, where the episode is terminated, and 0 before. ``reset(options={"reset_cell": cell})``
    begins elsewhere. Where in its cell an episode begins is drawn by the environment.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As gymnasium's."""
        cells = {"goal_cell": np.array(GOAL), "reset_cell": np.array((options or {}).get("reset_cell", START))}
        seen, info = self.env.reset(seed=seed, options=cells)
        inner: Any = self.env.unwrapped
        inner.goal = inner.maze.cell_rowcol_to_xy(np.array(GOAL))  # the environment shakes it
        inner.update_target_site_pos()
        return seen["observation"], info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As gymnasium's."""
        seen, reward, terminated, truncated, info = self.env.step(action)
        return seen["observation"], float(reward), bool(terminated), bool(truncated), info


def make_maze() -> MazeRun:
    """The task's environment; gymnasium-robotics must be registered."""
    return MazeRun(gymnasium.make(offline_task("pointmaze").environment, continuing_task=False))


def free_cells(maze: list[list[Any]]) -> list[Cell]:
    """The cells (row, column) of ``maze`` that are no wall."""
    return [(i, j) for i, row in enumerate(maze) for j, cell in enumerate(row) if cell != 1]


def path_between(maze: list[list[Any]], start: Cell, goal: Cell) -> list[Cell]:
    """The cells of a shortest way from ``start`` to ``goal``, both in it; empty where there is none."""
    free, came = set(free_cells(maze)), {start: start}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        if here == goal:
            path = [here]
            while path[-1] != start:
                path.append(came[path[-1]])
            return path[::-1]
        i, j = here
        for beside in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if beside in free and beside not in came:
                came[beside] = here
                waiting.append(beside)
    return []


def waypoint_action(seen: NDArray[Any], waypoint: NDArray[Any]) -> NDArray[np.float64]:
    """The force (2,), before it is cut to -1 to 1, that takes the point ``seen`` (4,) to ``waypoint`` (2,)."""
    return np.asarray(GAIN * (waypoint - seen[:2]) - DAMPING * seen[2:])


def record_walks(*, steps: int, seed: int, noise: float = 0.3, name: str = "pointmaze-walks") -> Dataset:
    """``steps`` steps or a few more of walks between cells drawn alike, ``noise`` the deviation added to actions.

    RunError where gymnasium-robotics is missing. The same ``seed`` gives the same data.
    """
    require_robotics()
    kept: list[Episode] = []
    facts: dict[str, Any] = {}
    env = RecordingEnv(make_maze(), kept.append, lambda: facts)
    inner: Any = env.unwrapped
    maze, rng, done = inner.maze, np.random.default_rng(seed), 0
    cells = free_cells(maze.maze_map)
    while done < steps:
        start, goal = (cells[k] for k in rng.integers(len(cells), size=2))
        path = path_between(maze.maze_map, start, goal)
        if not 2 <= len(path) <= REACH + 1 or start == GOAL:
            continue
        env.cut()
        facts = {"start_cell": list(start), "target_cell": list(goal)}
        seen, _ = env.reset(seed=int(rng.integers(2**31)), options={"reset_cell": start})
        places = [maze.cell_rowcol_to_xy(np.array(cell)) for cell in path]
        for _ in range(WALK_LIMIT):
            while places and np.linalg.norm(seen[:2] - places[0]) < CLOSE:
                places.pop(0)
            if not places:
                break
            action = waypoint_action(seen, places[0]) + noise * rng.standard_normal(2)
            seen, _, terminated, truncated, _ = env.step(action.astype(np.float32))
            done += 1
            if terminated or truncated:
                break
    env.close()
    return Dataset(name, tuple(kept), *env.bounds, offline_task("pointmaze").environment)
