"""Finding every process of one run, grandchildren included, by a mark in its environment.

Only the standard library is used: the guardian runs this without site-packages.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

MARK = "KNUCKLE_RUN"
POLL_S = 0.02


def members(run: str) -> list[int]:
    """Process ids, this one excepted, whose environment says that they belong to ``run``; zombies are not counted."""
    return _with_words(f"{MARK}={run}".encode())


def on_domain(domain: int) -> list[int]:
    """Process ids, this one excepted, of any run on ROS domain ``domain``."""
    return _with_words(f"{MARK}=".encode(), f"ROS_DOMAIN_ID={domain}".encode())


def _with_words(mark: bytes, *words: bytes) -> list[int]:
    """Processes with a variable that begins with ``mark`` and with all of ``words`` in their environment."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        # A process may end while it is looked at, or be another user's.
        with (
            suppress(FileNotFoundError, ProcessLookupError, PermissionError),
            open(f"/proc/{pid}/environ", "rb") as file,
        ):
            variables = file.read().split(b"\0")
            marked = any(variable.startswith(mark) for variable in variables)
            if pid != os.getpid() and marked and all(word in variables for word in words):
                found.append(pid)
    return found


def end_members(run: str, grace_s: float) -> list[int]:
    """Wait until no process of ``run`` is left; those still there after ``grace_s`` are killed, and returned.

    A dying process loses its environment before it closes its files, so each that was seen is followed by its handle
    until it has ended altogether.
    """
    deadline = time.monotonic() + grace_s
    killed: list[int] = []
    handles: dict[int, int] = {}
    ended = select.poll()
    while alive := set(members(run)) | set(handles):
        for pid in alive - set(handles):
            # It may have ended since it was listed.
            with suppress(ProcessLookupError):
                handles[pid] = os.pidfd_open(pid)
                ended.register(handles[pid], select.POLLIN)
        if time.monotonic() >= deadline:
            for pid, handle in handles.items():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                killed += [pid] if pid not in killed else []
        over = {handle for handle, _ in ended.poll(1e3 * POLL_S)}
        for pid in [pid for pid, handle in handles.items() if handle in over]:
            ended.unregister(handles[pid])
            os.close(handles.pop(pid))
        time.sleep(POLL_S if not over else 0.0)
    return killed
