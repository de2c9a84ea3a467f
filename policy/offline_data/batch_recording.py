"""Recording from the batch world: many worlds at once, each episode kept as it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.episode import Episode, episode_of
from knuckle.sim.reorient.batch_world import BatchWorld

Act = Callable[[NDArray[np.float32]], NDArray[Any]]


def record_batch(world: BatchWorld, act: Act, *, steps: int, name: str) -> Dataset:
    """At least ``steps`` steps of ``world``, from new episodes everywhere, ``act`` giving actions (N, A) in -1 to 1.

    Terminated is an object that has left; the limit of time is truncation, and so is a simulation that broke down
    (its fact ``broken``). ``succeeded`` says that a goal was reached. Episodes under way at the end are kept as cut.
    """
    seen = world.reset().astype(np.float32)
    worlds = len(seen)
    rows: list[list[tuple[Any, Any, float]]] = [[] for _ in range(worlds)]
    reached = np.zeros(worlds, dtype=bool)
    episodes: list[Episode] = []

    def keep(k: int, last: NDArray[np.float32], terminated: bool, facts: dict[str, Any]) -> None:
        observations, actions, rewards = zip(*rows[k], strict=True)
        told = facts | {"succeeded": bool(reached[k]), "world": k}
        stacked = np.stack([*observations, last]), np.stack(actions), np.array(rewards)
        episodes.append(episode_of(*stacked, terminated, told, where=f"{name}: world {k}"))
        rows[k], reached[k] = [], False

    for _ in range(-(-steps // worlds)):
        actions = np.clip(np.asarray(act(seen), dtype=np.float32), -1.0, 1.0)
        after, rewards, terminated, truncated = world.step(actions)
        last = after.astype(np.float32)
        reached |= world.info["success"]
        for k in range(worlds):
            rows[k].append((seen[k], actions[k], float(rewards[k])))
        ended = terminated | truncated
        for k in np.flatnonzero(ended).tolist():
            broken = bool(world.info["broken"][k])
            keep(
                k,
                last[k],
                bool(terminated[k]),
                {"time_limit": bool(truncated[k]) and not broken, "broken": broken},
            )
        seen = world.reset(ended).astype(np.float32) if ended.any() else last
    for k in range(worlds):
        if rows[k]:
            keep(k, seen[k], False, {"time_limit": False, "broken": False})
    one = np.ones(len(world.spec.actions), dtype=np.float32)
    return Dataset(name, tuple(episodes), -one, one, f"knuckle/{world.spec.hand}")
