"""One driver a port: the lock on a serial device, and who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from knuckle.core.errors import DeviceError


class PortLock:
    """An flock on the device itself, held until ``release`` or the end of the process, however it ends.

    flock is asked first because it is the one lock that root and every other user obey; TIOCEXCL, which the port sets
    besides, keeps out programs that never ask.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError where the device cannot be opened, DeviceError where another process holds it."""
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise in_use(path) from None

    def release(self) -> None:
        """Let others have it. A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def in_use(path: str) -> DeviceError:
    """The error for a port that another process has, naming it where it can be known."""
    pid = holder(path)
    if pid is None:
        return DeviceError("another process uses the port", where=path, right=f"end it (fuser {path} names it)")
    return DeviceError(
        f"process {pid}{_named(pid)} uses the port", where=path, right="one driver a port: end that one first"
    )


def holder(path: str) -> int | None:
    """The process that has an flock on the device, or failing that has it open; None where that cannot be seen."""
    try:
        wanted = os.stat(path)
    except OSError:
        return None
    key = f"{os.major(wanted.st_dev):02x}:{os.minor(wanted.st_dev):02x}:{wanted.st_ino}"
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5] == key and int(words[4]) > 0:
                return int(words[4])
    for folder in Path("/proc").glob("[0-9]*/fd"):
        pid = int(folder.parent.name)
        with contextlib.suppress(OSError):
            if pid != os.getpid() and any(os.readlink(fd) == os.path.realpath(path) for fd in folder.iterdir()):
                return pid
    return None


def _named(pid: int) -> str:
    with contextlib.suppress(OSError):
        return f" ({Path(f'/proc/{pid}/comm').read_text(encoding='utf-8').strip()})"
    return ""
