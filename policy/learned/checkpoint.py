"""A checkpoint: one safetensors file of arrays, with the plain facts as JSON in its header. Whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from knuckle.core.errors import InputError, RunError

VERSION = 1


def write_checkpoint(
    path: Path, arrays: dict[str, Any], facts: dict[str, Any], *, what: str = "the checkpoint"
) -> None:
    """Write under a temporary name, then rename: a run that ends in between leaves what was there before.

    RunError where ``what`` it is called cannot be written.
    """
    whole = {name: np.array(value, order="C") for name, value in arrays.items()}
    content = save(whole, metadata={"facts": json.dumps({"version": VERSION} | facts)})
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        right = "room on the disk; what was written before is still whole"
        raise RunError(f"{what} cannot be written ({error.strerror})", where=str(path), right=right) from error
    finally:
        partial.unlink(missing_ok=True)


def read_checkpoint(
    path: Path, *, what: str = "the checkpoint", right: str = "one of this version, or another --run"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and facts of the file at ``path``; InputError where it is broken or of another version."""
    where = str(path)
    try:
        with safe_open(path, framework="numpy") as stored:
            facts = json.loads((stored.metadata() or {})["facts"])
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, it is no mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{what} cannot be read ({error})", where=where, right=right) from error
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        raise InputError(f"{what} is of another version", where=where, right=right)
    return arrays, facts
