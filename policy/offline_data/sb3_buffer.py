"""A Stable-Baselines3 replay buffer as a data set: the object that the user holds, never its pickled file.

``model.save_replay_buffer`` pickles, and a pickle runs what its author wrote: who trusts a file opens it with
``model.load_replay_buffer(file)`` and gives ``model.replay_buffer`` here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.dataset import Dataset, merged
from knuckle.policy.offline_data.flat_rows import from_arrays

WHERE = "replay buffer"


def from_replay_buffer(buffer: Any, *, name: str = "replay", environment: str = "", scaled: bool = True) -> Dataset:
    """What ``buffer`` (a ``ReplayBuffer``) holds, oldest first, environment by environment.

    SAC, TQC, TD3 and DDPG keep actions in -1 to 1 whatever the space is: ``scaled`` puts them back. What was running
    when the buffer was read, or was half overwritten, is an episode that was cut. InputError for a buffer that keeps no
    next observations (``optimize_memory_usage``), for dictionaries, images or discrete actions, and for an empty one.
    """
    right = "a ReplayBuffer with Boxes of one axis"
    if isinstance(buffer, str | Path):
        right = "the object: model.load_replay_buffer(file), then model.replay_buffer"
        raise InputError("a pickled buffer is not read: it may run anything", where=str(buffer), right=right)
    for label in ("observation_space", "action_space"):
        space = getattr(buffer, label, None)
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise InputError(f"its {label} is {space}", where=WHERE, right=right)
    if getattr(buffer, "optimize_memory_usage", False):
        what = "it keeps no observation after an episode's end (optimize_memory_usage)"
        raise InputError(what, where=WHERE, right="a buffer without it")
    held = buffer.buffer_size if buffer.full else buffer.pos
    if held == 0:
        raise InputError("nothing is in it", where=WHERE, right="a buffer after some steps")
    order = np.roll(np.arange(buffer.buffer_size), -buffer.pos) if buffer.full else np.arange(held)
    low, high = (np.asarray(b, dtype=np.float32) for b in (buffer.action_space.low, buffer.action_space.high))
    parts = []
    for k in range(buffer.n_envs):
        done, timeout = (np.asarray(a[order, k]).astype(bool) for a in (buffer.dones, buffer.timeouts))
        actions = np.asarray(buffer.actions[order, k], dtype=np.float32)
        if scaled:
            actions = low + 0.5 * (actions + 1.0) * (high - low)
        part = from_arrays(
            buffer.observations[order, k],
            actions,
            buffer.rewards[order, k],
            done & ~timeout,
            timeout,
            next_observations=buffer.next_observations[order, k],
            low=low,
            high=high,
            name=name,
            environment=environment,
        )
        parts.append(part)
    whole = merged(parts)
    return Dataset(name, whole.episodes, low, high, environment)
