"""The batch world as a vector of environments of Stable-Baselines3. Needs extra ``learn``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from knuckle.core.errors import InputError
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.episode_meter import EpisodeMeter


class ReorientVecEnv(VecEnv):
    """``world`` for Stable-Baselines3: observations float32, worlds that end begin anew at once.

    What `info` of a world whose episode ended holds: ``terminal_observation``, ``TimeLimit.truncated`` (the time was
    over, or the world broke down, and the object had not left), ``is_success`` (a goal was reached at all), the
    ``rung`` of its goals, and ``episode`` with return ``r``, length ``l``, duration ``t`` in simulated s and ``goals``.
    """

    def __init__(self, world: BatchWorld) -> None:
        self.world = world
        box = spaces.Box(-np.inf, np.inf, (world.spec.width,), np.float32)
        moves = spaces.Box(-1.0, 1.0, (len(world.spec.actions),), np.float32)
        super().__init__(world.spec.worlds, box, moves)
        self.meter = EpisodeMeter(world.spec.worlds)
        self._actions: NDArray[np.float32] = np.zeros((world.spec.worlds, len(world.spec.actions)), np.float32)

    def reset(self) -> NDArray[np.float32]:
        """New episodes everywhere; the observations (worlds, width)."""
        self.meter.clear()
        self._reset_seeds()
        self._reset_options()
        return self.world.reset().astype(np.float32)

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Note ``actions`` (worlds, dof) for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """One control step of all worlds: observations, rewards, dones, infos."""
        world = self.world
        seen, reward, terminated, truncated = world.step(self._actions)
        self.meter.add(reward, world.info["success"])
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if done.any():
            last, broken = seen.astype(np.float32), world.info["broken"]
            for k in np.flatnonzero(done):
                episode = self.meter.end(int(k), dropped=bool(terminated[k]), broken=bool(broken[k]))
                infos[k] = {
                    "terminal_observation": last[k],
                    "TimeLimit.truncated": bool(truncated[k] and not terminated[k]),
                    "is_success": episode.goals > 0,
                    "rung": world.kind_of(int(k)),
                    "episode": {
                        "r": episode.total,
                        "l": episode.length,
                        "t": episode.length / world.spec.rate_hz,
                        "goals": episode.goals,
                    },
                }
            seen = world.reset(done)
        return seen.astype(np.float32), reward.astype(np.float32), done, infos

    def close(self) -> None:
        """End the world's threads."""
        self.world.close()

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """The attribute of this vector, once for each of ``indices``."""
        if attr_name == "render_mode":
            return [None for _ in self._get_indices(indices)]
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """InputError: worlds of a batch have no attributes of their own."""
        raise InputError(f"no attribute {attr_name} of one world", where="batch world", right="settings of the batch")

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        """InputError: worlds of a batch have no methods of their own."""
        raise InputError(f"no method {method_name} of one world", where="batch world", right="methods of the batch")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: int | Iterable[int] | None = None) -> list[bool]:
        """True of Monitor, whose ``episode`` is there; nothing else wraps a world."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Draw everything that follows from ``seed``; nothing changes where it is None."""
        if seed is not None:
            self.world.seed(seed)
        return [seed] * self.num_envs
