"""The tasks that offline learners are judged on: their environment, what success is, and the scores others count from.

A normalised score is 100 (return - low) / (high - low) with D4RL's reference returns. Adroit and the maze are of
gymnasium-robotics, of which one version is meant: dense rewards of Adroit changed once without another name.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knuckle.core.errors import InputError, RunError, unknown_name

ROBOTICS_VERSION = "1.4.2"
"""The gymnasium-robotics that scores here are of."""


@dataclass(frozen=True)
class OfflineTask:
    """A task ``name`` with the gymnasium id ``environment``, of ``observations`` and ``actions`` numbers.

    ``success`` says in words when an episode succeeded, empty where the task knows no success (return is all).
    ``time_limit`` is the steps after which an episode is truncated. ``references`` are D4RL's returns of a random and
    an expert policy, None where none are published for this environment. ``demonstrations`` names data that come with
    KNUCKLE_DATA. ``open`` makes the environment, of the folder KNUCKLE_DATA or None. A task with a ``rung`` is the
    hand's own: it is no environment, and its policies are judged by the protocol of reorientation on that rung.
    """

    name: str
    environment: str
    observations: int
    actions: int
    time_limit: int
    success: str
    references: tuple[float, float] | None
    open: Callable[[Path | None], Any]
    demonstrations: str = ""
    robotics: bool = False
    rung: str = ""

    def make(self, data: Path | None = None) -> Any:
        """A gymnasium environment with flat observations, whose info says ``success`` where the task knows it; with
        ``data``, the folder KNUCKLE_DATA, episodes begin where its demonstrations do. RunError where a package is
        missing."""
        if self.robotics:
            require_robotics()
        return self.open(data)

    def normalised(self, returned: float) -> float | None:
        """The score of a return, 0 random and 100 expert; None without references."""
        if self.references is None:
            return None
        low, high = self.references
        return 100.0 * (returned - low) / (high - low)


def _mujoco(name: str) -> Callable[[Path | None], Any]:
    def make(data: Path | None) -> Any:
        import gymnasium

        return gymnasium.make(name)

    return make


def _door_task(name: str, limit: int) -> OfflineTask:
    def make(data: Path | None) -> Any:
        from knuckle.policy.offline_data.door import make_door

        return make_door(data, limit)

    return OfflineTask(
        name,
        "AdroitHandDoor-v1",
        39,
        28,
        limit,
        "the door stands open by 1.35 rad or more at some step",
        (-56.512833, 2880.5693),
        make,
        demonstrations="dapg/door_human_25.npz",
        robotics=True,
    )


def _protocol(data: Path | None) -> Any:
    right = "knuckle collect to record, knuckle eval reorient to play"
    raise InputError("the hand's task is no environment", where="reorient-yaw60", right=right)


def _maze(data: Path | None) -> Any:
    from knuckle.policy.offline_data.point_maze import make_maze

    return make_maze()


TASKS: dict[str, OfflineTask] = {
    task.name: task
    for task in (
        OfflineTask("hopper", "Hopper-v5", 11, 3, 1000, "", (-20.272305, 3234.3), _mujoco("Hopper-v5")),
        OfflineTask("walker2d", "Walker2d-v5", 17, 6, 1000, "", (1.629008, 4592.3), _mujoco("Walker2d-v5")),
        _door_task("door", 200),
        # People took up to 300 steps, and most of them open the door after 150.
        _door_task("door-300", 300),
        OfflineTask(
            "pointmaze",
            "PointMaze_Medium-v3",
            4,
            2,
            600,
            "the point comes within 0.45 of the goal",
            None,
            _maze,
            robotics=True,
        ),
        OfflineTask(
            "reorient-yaw60",
            "knuckle/dclaw3",
            87,
            9,
            180,
            "the object lies within 0.4 rad of its goal, by the five conditions",
            None,
            _protocol,
            rung="yaw60",
        ),
    )
}


def offline_task(name: str, *, where: str = "") -> OfflineTask:
    """The task called ``name``; InputError that lists all where it is none."""
    if name not in TASKS:
        raise unknown_name("task", name, TASKS, where=where)
    return TASKS[name]


def task_of(environment: str) -> OfflineTask | None:
    """The task of a gymnasium id, None where there is none."""
    return next((task for task in TASKS.values() if task.environment == environment), None)


def robotics_version() -> str:
    """The installed gymnasium-robotics; empty where it is not installed."""
    try:
        return importlib.metadata.version("gymnasium-robotics")
    except importlib.metadata.PackageNotFoundError:
        return ""


def robotics_note() -> str:
    """One line where another gymnasium-robotics is installed than scores are of; empty otherwise."""
    found = robotics_version()
    if found in ("", ROBOTICS_VERSION):
        return ""
    return f"gymnasium-robotics {found} is installed and scores here are of {ROBOTICS_VERSION}: returns may differ"


def require_robotics() -> None:
    """Make gymnasium-robotics' environments known to gymnasium; RunError where it is not installed."""
    if importlib.util.find_spec("gymnasium_robotics") is None:
        right = f"pip install gymnasium-robotics=={ROBOTICS_VERSION}"
        raise RunError("gymnasium-robotics is not installed", where="Adroit and maze tasks", right=right)
    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)


def require_demonstrations(task: OfflineTask, data: Path | None) -> Path:
    """The file of the task's demonstrations in ``data``, the folder KNUCKLE_DATA; InputError where it is missing."""
    right = f"KNUCKLE_DATA with {task.demonstrations} in it"
    if data is None:
        raise InputError("no folder of recordings", where=task.name, right=right)
    path = data / task.demonstrations
    if not (task.demonstrations and path.is_file()):
        raise InputError(f"no demonstrations in {data}", where=task.name, right=right)
    return path
