"""Recording: an agent plays in gymnasium environments and every step is kept, and what was seen after the last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.episode import Episode, Floats, episode_of
from knuckle.policy.offline_data.torch_actor import Agent

SUCCESS_KEYS = ("success", "is_success")


class RecordingEnv(gymnasium.Wrapper):
    """``env`` itself, giving every episode to ``keep`` as it ends; ``facts()`` is noted with each.

    It sees what is really played, so that it stands under any learner: actions are cut to the space first. An episode
    that is left by a reset, or by `close`, is kept as one that was cut. ``bounds`` are those of actions, low and high.
    Observations and actions must be Boxes of one axis; InputError otherwise.
    """

    def __init__(
        self, env: Any, keep: Callable[[Episode], None], facts: Callable[[], Mapping[str, Any]] | None = None
    ) -> None:
        super().__init__(env)
        for name in ("observation_space", "action_space"):
            space = getattr(env, name)
            if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
                raise InputError(f"its {name} is {space}", where=str(env), right="a Box of one axis")
        self._keep, self._facts = keep, facts or dict
        box: Any = env.action_space
        self.bounds = np.asarray(box.low, dtype=np.float32), np.asarray(box.high, dtype=np.float32)
        self._seen: list[Any] = []
        self._played: list[Any] = []
        self._earned: list[float] = []
        self._succeeded: bool | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As gymnasium's; what was recorded of an unfinished episode is kept."""
        self.cut()
        observation, info = self.env.reset(seed=seed, options=options)
        self._seen = [np.array(observation, dtype=np.float32)]
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As gymnasium's, noted."""
        played = np.clip(action, *self.bounds)
        observation, reward, terminated, truncated, info = self.env.step(played)
        self._seen.append(np.array(observation, dtype=np.float32))
        self._played.append(np.array(played, dtype=np.float32))
        self._earned.append(float(reward))
        for key in SUCCESS_KEYS:
            if key in info:
                self._succeeded = bool(self._succeeded) or bool(np.any(info[key]))
        if terminated or truncated:
            self._flush(terminated=bool(terminated), limit=bool(truncated))
        return observation, float(reward), bool(terminated), bool(truncated), info

    def close(self) -> None:
        """As gymnasium's; what was recorded of an unfinished episode is kept."""
        self.cut()
        super().close()

    def cut(self) -> None:
        """Keep what was recorded of an unfinished episode; the recording of it ends here."""
        self._flush(terminated=False, limit=False)

    def _flush(self, *, terminated: bool, limit: bool) -> None:
        if self._played:
            facts = dict(self._facts()) | {"time_limit": limit}
            if self._succeeded is not None:
                facts["succeeded"] = self._succeeded
            arrays = np.stack(self._seen), np.stack(self._played), np.array(self._earned)
            self._keep(episode_of(*arrays, terminated, facts, where="recording"))
        self._clear()

    def _clear(self) -> None:
        self._seen, self._played, self._earned, self._succeeded = [], [], [], None


def record(
    agent: Agent,
    make: Callable[[], Any],
    *,
    name: str,
    steps: int,
    seed: int,
    noise: float = 0.0,
    deterministic: bool = False,
    worlds: int = 8,
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """``steps`` steps of ``agent`` in ``worlds`` environments that ``make`` makes, side by side, as a data set.

    The agent draws its own actions unless ``deterministic``; ``noise`` is the deviation of what is added to them, a
    share of half the action range. The same ``seed`` gives the same data. Episodes under way at the end are kept as
    cut, so that long ones are not missed more often. ``progress`` is told the steps done.
    """
    kept: list[Episode] = []
    envs = [RecordingEnv(make(), kept.append) for _ in range(max(1, min(worlds, steps)))]
    seeds, rng = np.random.SeedSequence(seed).generate_state(len(envs)), np.random.default_rng(seed)
    low, high = envs[0].bounds
    half = 0.5 * (high - low)
    try:
        seen = np.stack([env.reset(seed=int(s))[0] for env, s in zip(envs, seeds, strict=True)])
        if seen.dtype != np.float32:
            seen = seen.astype(np.float32)
        for done in range(0, steps, len(envs)):
            actions = agent.act(seen, None if deterministic else rng)
            if actions.shape[1:] != low.shape:
                what = f"the agent gives {actions.shape[1]} actions"
                raise InputError(what, where=name, right=f"{len(low)}, as the environment takes")
            if noise > 0.0:
                actions = actions + noise * half * rng.standard_normal(actions.shape, dtype=np.float32)
            for k, env in enumerate(envs[: steps - done]):
                seen[k], _, terminated, truncated, _ = env.step(actions[k])
                if terminated or truncated:
                    seen[k] = env.reset()[0]
            if progress is not None:
                progress(min(done + len(envs), steps))
    finally:
        for env in envs:
            env.close()
    spec = envs[0].spec
    return Dataset(name, tuple(kept), low, high, spec.id if spec is not None else "")


class RandomAgent:
    """Actions drawn evenly between ``low`` and ``high`` (A,), from ``seed`` where it is asked for none of its own."""

    def __init__(self, low: Floats, high: Floats, seed: int) -> None:
        self._low, self._high = low, high
        self._rng = np.random.default_rng(seed)

    def act(self, observations: NDArray[np.floating], rng: np.random.Generator | None = None) -> Floats:
        """Actions (n, A)."""
        chosen = self._rng if rng is None else rng
        drawn = chosen.uniform(self._low, self._high, (len(observations), len(self._low)))
        return np.asarray(drawn, dtype=np.float32)
