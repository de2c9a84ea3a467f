"""Checkpoint and replay on the disk, so that a run which is killed finds a pair that belongs together.

The replay is large (0.37 GB as the settings are) and is not compressed; it stands in a file of its own, named after
the control steps that it had seen. It is written first, then the checkpoint, which names it, then the one before is
deleted: a kill in between leaves the pair before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from knuckle.core.errors import InputError, RunError
from knuckle.policy.learned.run_folder import RunFolder

_PATTERN = "replay-*.safetensors"


def keep(folder: RunFolder, arrays: dict[str, Any], facts: dict[str, Any], replay: dict[str, Any]) -> None:
    """Write the pair; RunError where that is impossible: the pair before is still whole then."""
    path = _file(folder, int(facts["count"]))
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: np.ascontiguousarray(value) for name, value in replay.items()}, partial)
        with open(partial, "rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        what, right = f"the replay cannot be written ({error})", "room on the disk; what was written before is whole"
        raise RunError(what, where=str(path), right=right) from error
    finally:
        partial.unlink(missing_ok=True)
    folder.keep(arrays, facts)
    # Half a replay of a run that was killed is hidden, and goes too: the run is locked, nobody else writes it.
    for other in (*folder.path.glob(_PATTERN), *folder.path.glob(f".{_PATTERN}.*")):
        if other != path:
            other.unlink(missing_ok=True)


def kept(folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | None:
    """Arrays and facts of the checkpoint and the arrays of its replay, None where there is none yet.

    InputError in one line where either is broken, or the replay is not there.
    """
    before = folder.checkpoint()
    if before is None:
        return None
    arrays, facts = before
    count = facts.get("count")
    if not isinstance(count, int):
        what = "the checkpoint is of another learner"
        raise InputError(what, where=str(folder.path), right="another --run")
    path = _file(folder, count)
    if not path.is_file():
        what = "the replay that the checkpoint goes on with is not there"
        raise InputError(what, where=str(path), right="another --run")
    try:
        return arrays, facts, load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"the replay cannot be read ({error})", where=str(path), right="another --run") from error


def _file(folder: RunFolder, count: int) -> Path:
    return folder.path / f"replay-{count:08d}.safetensors"
