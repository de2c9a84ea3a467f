"""Opening a door with the Adroit hand, and 25 demonstrations by people (Rajeswaran et al., RSS 2018; D4RL door-human).

The file holds as many observations as actions: what was seen after the last action is not there, so the last action is
left out. Demonstrators' actions go beyond -1 to 1; the environment cuts them, and so does the reader.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.environments import offline_task, require_demonstrations
from knuckle.policy.offline_data.episode import episode_of

ARRAYS = ("episode_length", "observations", "actions", "rewards", "init_qpos", "init_qvel", "init_door_body_pos")
OPEN_RAD, HINGE = 1.35, 28
"""The door counts as open from here; the column of an observation that is its hinge."""
RIGHT = "the demonstrations door_human_25.npz"


def door_demonstrations(path: Path) -> Dataset:
    """The demonstrations at ``path``; InputError where the file is broken or its arrays do not fit together."""
    arrays, task = _arrays(path), offline_task("door")
    lengths = arrays["episode_length"].astype(np.int64)
    total = int(lengths.sum())
    for name in ("observations", "actions", "rewards"):
        if len(arrays[name]) != total:
            what = f"{len(arrays[name])} {name} for episodes of {total} steps in all"
            raise InputError(what, where=str(path), right=RIGHT)
    ends = np.cumsum(lengths)
    episodes = []
    for k, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        rows = slice(end - length, end)
        seen, done, earned = arrays["observations"][rows], arrays["actions"][rows], arrays["rewards"][rows]
        facts = {"demonstration": k, "succeeded": bool((seen[:, HINGE] >= OPEN_RAD).any())}
        where = f"{path}: episode {k}"
        episodes.append(episode_of(seen, np.clip(done[:-1], -1, 1), earned[:-1], False, facts, where=where))
    low = np.full(task.actions, -1.0, dtype=np.float32)
    demonstrations = Dataset("door-human", tuple(episodes), low, -low, task.environment)
    demonstrations.require_shapes(task.observations, task.actions, task=task.name)
    return demonstrations


def door_starts(path: Path) -> list[dict[str, NDArray[np.float64]]]:
    """What ``reset(options={"initial_state_dict": ...})`` wants, for each demonstration at ``path``."""
    arrays = _arrays(path)
    names = {"qpos": "init_qpos", "qvel": "init_qvel", "door_body_pos": "init_door_body_pos"}
    return [
        {name: np.asarray(arrays[stored][k], dtype=np.float64) for name, stored in names.items()}
        for k in range(len(arrays["episode_length"]))
    ]


class DemonstratedStarts(gymnasium.Wrapper):
    """Episodes that begin in ``starts``: the one that the seed names, one after another without a seed."""

    def __init__(self, env: Any, starts: list[dict[str, NDArray[np.float64]]]) -> None:
        super().__init__(env)
        self._starts, self._next = starts, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As gymnasium's."""
        k = (self._next if seed is None else seed) % len(self._starts)
        self._next = k + 1
        chosen = {"initial_state_dict": self._starts[k]} | (options or {})
        return self.env.reset(seed=seed, options=chosen)


def make_door(data: Path | None, time_limit: int) -> Any:
    """The environment, cut off after ``time_limit`` steps; with ``data`` episodes begin as its demonstrations do."""
    task = offline_task("door")
    env = gymnasium.make(task.environment, max_episode_steps=time_limit)
    return env if data is None else DemonstratedStarts(env, door_starts(require_demonstrations(task, data)))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"the demonstrations cannot be read ({error})", where=str(path), right=RIGHT) from error
    return arrays
