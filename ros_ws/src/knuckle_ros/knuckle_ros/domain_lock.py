"""One knuckle on a ROS domain: two would mix their topics, so the second is refused."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from knuckle.core.errors import BusError


@contextlib.contextmanager
def domain_lock(domain: int, what: str) -> Iterator[None]:
    """Hold ROS domain ``domain`` for ``what`` (a command's name) until the block is left or the process dies.

    Raises BusError, naming who holds it, where another process does. The lock is the kernel's on an open file, so a
    killed holder leaves none behind; the small file stays.
    """
    path = lock_path(domain)
    handle = _open(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another knuckle"
            right = "stop it, or choose another with --domain N"
            raise BusError(f"{holder} runs here already", where=f"ROS domain {domain}", right=right) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"knuckle {what} (process {os.getpid()})\n".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def lock_path(domain: int) -> Path:
    """The file that stands for a domain on this machine, for all its users."""
    return Path(tempfile.gettempdir()) / f"knuckle-domain-{domain}.lock"


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        previous = os.umask(0)
        try:
            return os.open(path, flags | os.O_CREAT, 0o666)
        finally:
            os.umask(previous)
    except OSError as error:
        what = f"the lock of the domain cannot be opened ({error.strerror})"
        raise BusError(what, where=str(path), right="a plain file that may be written, or none") from error
