"""Episodes from flat arrays, one row a step, as D4RL and replay buffers keep them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.episode import Episode, episode_of

NAMES = ("observations", "actions", "rewards", "terminated", "truncated")
RIGHT = f"an .npz with {', '.join(NAMES)}"


def from_arrays(
    observations: NDArray[Any],
    actions: NDArray[Any],
    rewards: NDArray[Any],
    terminated: NDArray[Any],
    truncated: NDArray[Any],
    *,
    next_observations: NDArray[Any] | None = None,
    low: NDArray[Any] | float = -1.0,
    high: NDArray[Any] | float = 1.0,
    name: str = "arrays",
    environment: str = "",
) -> Dataset:
    """A data set from rows (N, ...), see `episodes_of`; actions between ``low`` and ``high``, numbers or (A,)."""
    episodes = episodes_of(observations, actions, rewards, terminated, truncated, next_observations, where=name)
    wide = (episodes[0].actions.shape[1],)
    least, most = (np.broadcast_to(np.asarray(bound, dtype=np.float32), wide).copy() for bound in (low, high))
    return Dataset(name, episodes, least, most, environment)


def array_names(path: Path) -> set[str]:
    """The names of the arrays in the .npz at ``path``; InputError where it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return set(stored.files)
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"the arrays cannot be read ({error})", where=str(path), right=RIGHT) from error


def read_arrays(path: Path) -> Dataset:
    """The data set in an .npz of arrays called as `from_arrays` calls them; ``low`` and ``high`` are -1 and 1 where
    they are missing. InputError where it cannot be read, or lacks one of the others but ``next_observations``."""
    names = array_names(path)
    if missing := [name for name in NAMES if name not in names]:
        raise InputError(f"no {', '.join(missing)} in it", where=str(path), right=RIGHT)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in (*NAMES, "next_observations", "low", "high") if name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"the arrays cannot be read ({error})", where=str(path), right=RIGHT) from error
    return from_arrays(**arrays, name=path.stem)


def episodes_of(
    observations: NDArray[Any],
    actions: NDArray[Any],
    rewards: NDArray[Any],
    terminated: NDArray[Any],
    truncated: NDArray[Any],
    next_observations: NDArray[Any] | None,
    *,
    where: str,
) -> tuple[Episode, ...]:
    """The episodes in rows (N, ...); one ends where ``terminated`` or ``truncated`` (N,) say so, and with the last row.

    With ``next_observations`` (N, O) it also ends, as cut, where a row does not go on from what was seen after the one
    before. Without, what was seen after the last step of an episode is unknown: where the task ended nobody asks for it
    and the last observation stands in its place; where it was cut the last action is left out, and an episode of one
    such step altogether. InputError where lengths differ or a number is not finite.
    """
    columns = {"observations": observations, "actions": actions, "rewards": rewards}
    columns |= {"terminated": terminated, "truncated": truncated}
    if next_observations is not None:
        columns["next_observations"] = next_observations
    rows = len(observations)
    for label, array in columns.items():
        if len(array) != rows:
            what = f"{len(array)} {label} for {rows} observations"
            raise InputError(what, where=where, right="as many rows of each")
    if next_observations is not None and next_observations.shape != observations.shape:
        what = f"next observations {next_observations.shape} for observations {observations.shape}"
        raise InputError(what, where=where, right="the same shape")
    over, cut = (np.asarray(flags).reshape(-1).astype(bool) for flags in (terminated, truncated))
    ends = over | cut
    if next_observations is not None and rows > 1:
        ends[:-1] |= (next_observations[:-1] != observations[1:]).reshape(rows - 1, -1).any(axis=1)
    ends[-1:] = True
    episodes: list[Episode] = []
    begin = 0
    for end in np.flatnonzero(ends):
        last, steps = int(end) + 1, slice(begin, int(end) + 1)
        seen = observations[steps]
        if next_observations is not None:
            seen = np.concatenate([seen, next_observations[end : end + 1]])
        elif over[end]:
            seen = np.concatenate([seen, seen[-1:]])
        else:
            steps = slice(begin, last - 1)
        if steps.stop > begin:
            facts = {"time_limit": bool(cut[end])}
            parts = seen, actions[steps], np.asarray(rewards).reshape(-1)[steps]
            episodes.append(episode_of(*parts, bool(over[end]), facts, where=f"{where}: episode {len(episodes)}"))
        begin = last
    if not episodes:
        raise InputError("no episode in it", where=where, right="two steps or more")
    return tuple(episodes)
