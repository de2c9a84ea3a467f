"""The shared library of our kernels: found, loaded once through ctypes, and asked what this machine can run.

It holds every kernel once for each instruction set; which one runs is chosen here, at run time. It knows nothing of
Python or torch, so one file serves every version of either.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

from knuckle.core.errors import InputError, unknown_name

INSTRUCTION_SETS = ("baseline", "avx2", "avx512")
"""Slowest first; "baseline" is what every machine of the architecture has (SSE2 on x86-64)."""

CHOICE = "KNUCKLE_INSTRUCTION_SET"
"""Environment variable that forces one of INSTRUCTION_SETS, or "none" to do without the library."""

VERSION = 5
"""Of the structs and functions that both sides know; a library of another version is not used."""

REMEDY = "a C++ compiler (apt-get install g++), then install knuckle again"


def missing(folder: Path | None = None) -> str:
    """Why the kernels cannot run here, in a few words; empty where they can. ``folder`` is for tests."""
    if os.environ.get(CHOICE) == "none":
        return f"{CHOICE}=none"
    return _load(folder or Path(__file__).parent)[1]


def library() -> ctypes.CDLL:
    """The loaded library. Raises InputError where there is none."""
    problem = missing()
    loaded = _load(Path(__file__).parent)[0]
    if problem or loaded is None:
        raise InputError(f"the C++ kernels cannot run: {problem}", right=REMEDY)
    return loaded


def available() -> tuple[str, ...]:
    """Those of INSTRUCTION_SETS that this machine can run; none where the library is missing."""
    loaded = None if missing() else _load(Path(__file__).parent)[0]
    if loaded is None:
        return ()
    return tuple(name for k, name in enumerate(INSTRUCTION_SETS) if loaded.knuckle_supports(k))


def instruction_set(name: str = "") -> int:
    """The number of the set ``name`` in INSTRUCTION_SETS, or, where empty, of the forced one or the fastest.

    Raises InputError for a set that is unknown or that this machine cannot run.
    """
    wanted = name or os.environ.get(CHOICE, "")
    can = available()
    if not can:
        library()
    if not wanted:
        return INSTRUCTION_SETS.index(can[-1])
    if wanted not in INSTRUCTION_SETS:
        raise unknown_name("instruction set", wanted, INSTRUCTION_SETS, where="" if name else CHOICE)
    if wanted not in can:
        raise InputError(f"this processor cannot run {wanted}", right=f"one of: {', '.join(can)}")
    return INSTRUCTION_SETS.index(wanted)


@functools.cache
def _load(folder: Path) -> tuple[ctypes.CDLL | None, str]:
    """The library in ``folder``, or what keeps it from being used."""
    found = sorted(folder.glob("_native*.so"), key=lambda path: path.stat().st_mtime)
    if not found:
        return None, "they were not built: no C++ compiler was found when knuckle was installed"
    try:
        loaded = ctypes.CDLL(str(found[-1]))
        version = int(loaded.knuckle_version())
    except (OSError, AttributeError) as error:
        return None, f"{found[-1].name} cannot be loaded ({error})"
    if version != VERSION:
        return None, f"{found[-1].name} is of version {version}, not {VERSION}: install knuckle again"
    return loaded, ""
