"""A checkpoint or a model's weights: one safetensors file, plain facts as JSON in its header. Whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from knuckle.core.errors import InputError, RunError

VERSION = 1
MAX_BYTES = 256 << 20


def write_arrays(
    path: Path, arrays: Mapping[str, Any], facts: Mapping[str, Any], *, what: str = "the checkpoint"
) -> None:
    """Write under a temporary name, then rename: a run that ends in between leaves what was there before.

    RunError where ``what`` it is called cannot be written.
    """
    whole = {name: np.array(value, order="C") for name, value in arrays.items()}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as stream:
            stream.write(save(whole, metadata={"facts": json.dumps({"version": VERSION, **facts})}))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        right = "room on the disk; what was written before is still whole"
        raise RunError(f"{what} cannot be written ({error.strerror})", where=str(path), right=right) from error
    finally:
        partial.unlink(missing_ok=True)


def read_arrays(
    path: Path, *, what: str = "the checkpoint", right: str = "one of this version, or another --run"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and facts of the file at ``path``; InputError where it is broken, too large, of another version or not
    finite."""
    where = str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{what} is larger than 256 MiB", where=where, right=right)
        with safe_open(path, framework="numpy") as stored:
            facts = json.loads((stored.metadata() or {})["facts"])
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, it is no mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{what} cannot be read ({error})", where=where, right=right) from error
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        raise InputError(f"{what} is of another version", where=where, right=right)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"'{name}' in {what} is not finite", where=where, right=right)
    return arrays, facts
