"""Removes the shared memory that a killed process of ours left: Fast DDS deletes its files on a clean exit only."""

from __future__ import annotations

import re
from pathlib import Path

MEMORY = Path("/dev/shm")
_NAME = re.compile(r"/dev/shm/((?:fastrtps|fastdds)_[A-Za-z0-9]+)")


def segments_of(pid: int) -> frozenset[str]:
    """The names of the Fast DDS segments and ports that a process has mapped; none where it is gone or not ours."""
    try:
        return frozenset(_NAME.findall(Path(f"/proc/{pid}/maps").read_text()))
    except OSError:
        return frozenset()


def remove_dead(names: frozenset[str]) -> list[str]:
    """Delete those of ``names`` that no living process has mapped, and return the files deleted.

    ``names`` must come from ``segments_of`` a process of ours. Their companions (the file whose lock says that the
    owner lives, a port's semaphore) go with them. A port that another process shares stays with it.
    """
    if not names:
        return []
    alive: frozenset[str] = frozenset().union(*(segments_of(int(p.name)) for p in Path("/proc").glob("[0-9]*")))
    removed = []
    for name in sorted(names - alive):
        for file in (MEMORY / name, MEMORY / f"{name}_el", MEMORY / f"{name}_sl", MEMORY / f"sem.{name}_mutex"):
            if file.exists():
                file.unlink(missing_ok=True)
                removed.append(file.name)
    return removed
