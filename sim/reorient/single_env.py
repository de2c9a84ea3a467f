"""One world of reorientation as an ordinary environment of Gymnasium: for tools that want one, and to compare with.

It is a batch of one, so the task is the same to the bit, and so is the cost of computing it in arrays. To learn, step
many worlds at once instead. Needs extra ``learn``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.episode_meter import EpisodeMeter


class ReorientEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """The task of ``config`` with one world and one thread, hand and object by name; arrays without a batch axis."""

    def __init__(
        self, hand: str, object_name: str, config: BatchConfig | None = None, *, cache_folder: Path | None = None
    ) -> None:
        one = replace(config or BatchConfig(), worlds=1, threads=1)
        self.world = BatchWorld(hand_spec(hand), (object_name,), one, cache_folder=cache_folder)
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.world.spec.width,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (len(self.world.spec.actions),), np.float32)
        self._meter = EpisodeMeter(1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """A new episode, drawn with ``seed`` if given."""
        super().reset(seed=seed)
        if seed is not None:
            self.world.seed(seed)
        self._meter.clear()
        return self.world.reset()[0].astype(np.float32), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One control step under ``action`` (dof,) in [-1, 1]."""
        seen, reward, terminated, truncated = self.world.step(action[None])
        info: dict[str, Any] = {name: values[0] for name, values in self.world.info.items()}
        self._meter.add(reward, self.world.info["success"])
        if terminated[0] or truncated[0]:
            episode = self._meter.end(0, dropped=bool(terminated[0]), broken=bool(info["broken"]))
            info["episode"] = {
                "r": episode.total,
                "l": episode.length,
                "t": episode.length / self.world.spec.rate_hz,
                "goals": episode.goals,
            }
        return seen[0].astype(np.float32), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def close(self) -> None:
        """End the world's threads."""
        self.world.close()
