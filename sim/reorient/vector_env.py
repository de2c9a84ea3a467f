"""The batch world as a vector environment of Gymnasium. Needs extra ``learn``."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.episode_meter import EpisodeMeter

Observations = NDArray[np.float32]


class ReorientVectorEnv(VectorEnv):
    """``world`` for Gymnasium: observations float32; a world that ends begins anew in the same step.

    ``info`` then holds, with their masks ``_...``: ``final_obs`` (worlds, width) and ``episode`` with return ``r``,
    length ``l``, duration ``t`` in simulated s and ``goals`` reached, arrays (worlds,). Beside them ``success`` and
    ``angle`` of every step.
    """

    def __init__(self, world: BatchWorld) -> None:
        self.world, self.num_envs = world, world.spec.worlds
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (world.spec.width,), np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (len(world.spec.actions),), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._meter = EpisodeMeter(self.num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """New episodes everywhere, or only where ``options["reset_mask"]`` (worlds,) is true; drawn with ``seed``."""
        mask = None if options is None else options.get("reset_mask")
        first = seed[0] if isinstance(seed, list) else seed
        if first is not None:
            self.world.seed(first)
        if mask is None:
            self._meter.clear()
        else:
            for k in np.flatnonzero(mask):
                self._meter.end(int(k), dropped=False, broken=False)
        return self.world.reset(mask).astype(np.float32), {}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One control step of all worlds."""
        world = self.world
        seen, reward, terminated, truncated = world.step(actions)
        self._meter.add(reward, world.info["success"])
        info: dict[str, Any] = {"success": world.info["success"], "angle": world.info["angle"]}
        done = terminated | truncated
        if done.any():
            info |= self._ended(seen.astype(np.float32), done, terminated)
            seen = world.reset(done)
        return seen.astype(np.float32), reward, terminated, truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """End the world's threads."""
        self.world.close()

    def _ended(self, last: Observations, done: NDArray[np.bool_], terminated: NDArray[np.bool_]) -> dict[str, Any]:
        broken = self.world.info["broken"]
        figures = {name: np.zeros(self.num_envs) for name in ("r", "l", "t", "goals")}
        for k in np.flatnonzero(done):
            episode = self._meter.end(int(k), dropped=bool(terminated[k]), broken=bool(broken[k]))
            figures["r"][k], figures["l"][k], figures["goals"][k] = episode.total, episode.length, episode.goals
            figures["t"][k] = episode.length / self.world.spec.rate_hz
        return {"final_obs": last, "_final_obs": done, "episode": figures, "_episode": done}
