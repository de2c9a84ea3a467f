"""Episodes of a finished policy in its task: what each returned, how long it took and whether it succeeded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.recording import SUCCESS_KEYS
from knuckle.policy.offline_data.torch_actor import Agent


@dataclass(frozen=True)
class Played:
    """One episode: its undiscounted return, its steps, and success, None where the task knows none."""

    total: float
    steps: int
    succeeded: bool | None


def play(agent: Agent, make: Callable[[], Any], *, episodes: int, seed: int, worlds: int = 8) -> list[Played]:
    """``episodes`` episodes of the likeliest actions of ``agent``, up to ``worlds`` environments side by side.

    Episode k begins with ``env.reset(seed=seed + k)``, whoever plays and however many there are.
    """
    if episodes < 1:
        raise InputError("no episodes to play", where="rollouts", right="one or more")
    envs = [make() for _ in range(min(worlds, episodes))]
    of = list(range(len(envs)))  # the episode that each environment is in
    seen = [env.reset(seed=seed + k)[0] for k, env in enumerate(envs)]
    totals, steps = np.zeros(episodes), np.zeros(episodes, dtype=int)
    won: list[bool | None] = [None] * episodes
    running, following = list(range(len(envs))), len(envs)
    try:
        while running:
            actions = agent.act(np.stack([seen[i] for i in running]).astype(np.float32))
            for i, action in zip(tuple(running), actions, strict=True):
                seen[i], reward, terminated, truncated, info = envs[i].step(action)
                k = of[i]
                totals[k] += float(reward)
                steps[k] += 1
                for key in SUCCESS_KEYS:
                    if key in info:
                        won[k] = bool(won[k]) or bool(np.any(info[key]))
                if not (terminated or truncated):
                    continue
                if following < episodes:
                    of[i], following = following, following + 1
                    seen[i] = envs[i].reset(seed=seed + of[i])[0]
                else:
                    running.remove(i)
    finally:
        for env in envs:
            env.close()
    return [Played(float(totals[k]), int(steps[k]), won[k]) for k in range(episodes)]
