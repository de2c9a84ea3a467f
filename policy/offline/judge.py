"""Playing a policy in its task: returns, and success where the task knows it. And a control that only remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.policy.offline.offline_run import OfflineRun
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.environments import OfflineTask
from knuckle.policy.offline_data.torch_actor import TorchActor

SUCCESS_RAD = 0.4
"""How near its goal an object must end in a hand's own task."""
Act = Callable[[NDArray[np.float32], NDArray[np.int64], int], NDArray[Any]]
"""Actions (n, A) of the episodes numbered (n,), whose observations are (n, O), at a step."""


@dataclass(frozen=True)
class Played:
    """Returns (N,) and whether they succeeded (N,), None where the task does not know it."""

    returns: NDArray[np.float64]
    succeeded: NDArray[np.bool_] | None


def play(act: Act, task: OfflineTask, *, episodes: int, seed: int, make: Callable[[], Any] | None = None) -> Played:
    """``episodes`` episodes of ``task`` side by side, begun with seeds from ``seed`` on, until their end or limit."""
    envs = [(make or task.make)() for _ in range(episodes)]
    try:
        seen = np.stack([env.reset(seed=seed + k)[0] for k, env in enumerate(envs)]).astype(np.float32)
        returns, won, alive = np.zeros(episodes), np.zeros(episodes, dtype=np.bool_), np.arange(episodes)
        for step in range(task.time_limit):
            actions, left = act(seen[alive], alive, step), []
            for k, action in zip(alive, actions, strict=True):
                observation, reward, terminated, truncated, info = envs[k].step(action)
                seen[k], returns[k] = observation, returns[k] + float(reward)
                won[k] = won[k] or bool(info.get("success", False))
                if not (terminated or truncated):
                    left.append(int(k))
            alive = np.array(left, dtype=np.int64)
            if len(alive) == 0:
                break
    finally:
        for env in envs:
            env.close()
    return Played(returns, won if task.success else None)


def play_run(run: OfflineRun, task: OfflineTask, *, episodes: int, seed: int) -> Played:
    """`play` of the policy that ``run`` has learned, or, in a hand's own task, its episodes by the protocol."""
    if task.rung:
        return _by_protocol(run, task, episodes, seed)
    actor = TorchActor(run.actor())
    return play(lambda seen, numbers, step: actor.act(seen), task, episodes=episodes, seed=seed)


def _by_protocol(run: OfflineRun, task: OfflineTask, episodes: int, seed: int) -> Played:
    """Episodes by the five conditions: the exported policy acts and says itself when it is done; a return is 1 or 0."""
    from knuckle.policy.reorient_task import ReorientTask

    run.export()
    row = ReorientTask(controller=str(run.folder.policy), rung=task.rung, seed=seed)
    scores = [row.play(start, row.policy(k)) for k, start in enumerate(row.starts(episodes))]
    won = np.array([score.succeeded(SUCCESS_RAD) for score in scores])
    return Played(won.astype(np.float64), won)


class NearestReplay:
    """Plays again, blind, the recorded episode whose first observation is nearest to the one an episode begins with."""

    def __init__(self, data: Dataset) -> None:
        self._data = data
        self._firsts = np.stack([episode.observations[0] for episode in data.episodes]).astype(np.float64)
        spread = self._firsts.std(axis=0)
        self._spread = np.where(spread > 1e-6, spread, 1.0)
        self._chosen: dict[int, int] = {}

    def __call__(self, seen: NDArray[np.float32], numbers: NDArray[np.int64], step: int) -> NDArray[Any]:
        """The recorded actions of ``step``; the last one again when the recording is over."""
        if step == 0:
            for number, first in zip(numbers, seen, strict=True):
                apart = np.linalg.norm((self._firsts - first) / self._spread, axis=1)
                self._chosen[int(number)] = int(apart.argmin())
        episodes = [self._data.episodes[self._chosen[int(number)]] for number in numbers]
        return np.stack([episode.actions[min(step, len(episode) - 1)] for episode in episodes])


def shuffled(data: Dataset, rng: np.random.Generator) -> Dataset:
    """``data`` with every action given to another step: what is learned from it must lose."""
    from dataclasses import replace

    every = np.concatenate([episode.actions for episode in data.episodes])
    mixed = every[rng.permutation(len(every))]
    ends = np.cumsum([len(episode) for episode in data.episodes])
    parts = np.split(mixed, ends[:-1])
    pairs = zip(data.episodes, parts, strict=True)
    return replace(data, episodes=tuple(replace(episode, actions=actions) for episode, actions in pairs))
