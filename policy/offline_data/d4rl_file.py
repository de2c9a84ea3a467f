"""D4RL's HDF5 files: flat arrays, an episode ended by ``terminals`` or ``timeouts``. Needs extra ``learn``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.flat_rows import from_arrays

REQUIRED, OPTIONAL = ("observations", "actions", "rewards", "terminals"), ("timeouts", "next_observations")
RIGHT = "a D4RL file: observations, actions, rewards, terminals, timeouts"


def read_d4rl(
    path: Path, *, time_limit: int = 0, low: NDArray[Any] | float = -1.0, high: NDArray[Any] | float = 1.0
) -> Dataset:
    """The data set in the HDF5 file at ``path``; D4RL's files do not say the action space, ``low`` and ``high`` do.

    Files of before D4RL's v1 have no timeouts; episodes are then cut every ``time_limit`` steps. InputError where it
    cannot be read, lacks an array, or no time limit is known.
    """
    try:
        with h5py.File(path, "r") as stored:
            arrays = {name: np.asarray(stored[name]) for name in (*REQUIRED, *OPTIONAL) if name in stored}
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the file cannot be read ({error})", where=str(path), right=RIGHT) from error
    if missing := [name for name in REQUIRED if name not in arrays]:
        raise InputError(f"no {', '.join(missing)} in it", where=str(path), right=RIGHT)
    if "timeouts" not in arrays:
        if time_limit < 1:
            what = "it does not say where episodes were cut off"
            raise InputError(what, where=str(path), right="a time limit of its environment")
        arrays["timeouts"] = _timeouts(arrays["terminals"], time_limit)
    return from_arrays(
        arrays["observations"],
        arrays["actions"],
        arrays["rewards"],
        arrays["terminals"],
        arrays["timeouts"],
        next_observations=arrays.get("next_observations"),
        low=low,
        high=high,
        name=path.stem,
    )


def _timeouts(terminals: NDArray[Any], limit: int) -> NDArray[np.bool_]:
    """Where an episode has lasted ``limit`` steps."""
    ended, cut, age = np.asarray(terminals).reshape(-1).astype(bool), np.zeros(len(terminals), dtype=np.bool_), 0
    for k, over in enumerate(ended):
        age += 1
        cut[k] = age == limit and not over
        if over or cut[k]:
            age = 0
    return cut
