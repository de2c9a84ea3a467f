"""Finding every process of one run, grandchildren included, by a mark in its environment.

Only the standard library is used: the guardian runs this without site-packages.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

MARK = "KNUCKLE_RUN"
POLL_S = 0.02


def members(run: str) -> list[int]:
    """Process ids, this one excepted, whose environment says that they belong to ``run``; zombies are not counted."""
    wanted = f"{MARK}={run}".encode()
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        # A process may end while it is looked at, or be another user's.
        with (
            suppress(FileNotFoundError, ProcessLookupError, PermissionError),
            open(f"/proc/{pid}/environ", "rb") as file,
        ):
            if pid != os.getpid() and wanted in file.read().split(b"\0"):
                found.append(pid)
    return found


def end_members(run: str, grace_s: float) -> list[int]:
    """Wait until no process of ``run`` is left; those still there after ``grace_s`` are killed, and returned."""
    deadline = time.monotonic() + grace_s
    killed: list[int] = []
    while alive := members(run):
        if time.monotonic() >= deadline:
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed += [pid for pid in alive if pid not in killed]
        time.sleep(POLL_S)
    return killed
