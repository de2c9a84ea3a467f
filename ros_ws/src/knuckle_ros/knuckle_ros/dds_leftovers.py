"""What dead DDS participants leave in /dev/shm, and the removal of what nobody holds any more.

Fast DDS keeps a segment ``fastrtps_<16 hex digits>`` for each participant, a ring ``fastrtps_port<number>`` for each
port, their lock files (``_el``, ``_sl``) and a semaphore (``sem.*_mutex``). A participant that ends well removes its
own; a killed one cannot. A file is removed here only when it belongs to this user, its owner's lock is not held and,
where several share it, no living process has it mapped, open or locked. Only the standard library is used: the
guardian runs this without site-packages.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

FOLDER = Path("/dev/shm")
GROUP = re.compile(r"(?:sem\.)?(?P<group>(?:fastrtps|fastdds)_(?:port\d+|[0-9a-f]{16}))(?:_el|_sl|_mutex)?\Z")
Inode = tuple[int, int]

LOCKING_S = 0.02


def remove_leftovers(born_after: float) -> list[str]:
    """Remove the DDS files that nobody holds and return their names.

    Segments must be younger than ``born_after`` (s since the epoch), so that only those of a run that began then are
    taken. Port rings are shared by all participants, so an unheld one is no one's and its age says nothing.
    """
    found = leftovers(born_after)
    if found:
        # A participant that is just starting makes a file and then locks it, microseconds later.
        time.sleep(LOCKING_S)
        again = set(leftovers(born_after))
        found = [name for name in found if name in again]
    for name in found:
        (FOLDER / name).unlink(missing_ok=True)
    return found


def leftovers(born_after: float) -> list[str]:
    """Names in /dev/shm that ``remove_leftovers`` would remove."""
    groups: dict[str, dict[str, os.stat_result]] = {}
    for name in os.listdir(FOLDER):
        match = GROUP.match(name)
        if match:
            with suppress(FileNotFoundError):
                groups.setdefault(match["group"], {})[name] = (FOLDER / name).lstat()
    free: list[str] = []
    locked, used = (_locked_inodes(), _used_inodes()) if groups else (set(), set())
    for group, files in groups.items():
        # Readers map the segment of a writer, and do so beyond its death; the writer itself holds the lock.
        held = locked if f"{group}_el" in files and "_port" not in group else locked | used
        ours = all(stat.st_uid == os.getuid() for stat in files.values())
        young = "_port" in group or all(stat.st_ctime >= born_after for stat in files.values())
        if ours and young and not any((stat.st_dev, stat.st_ino) in held for stat in files.values()):
            free += sorted(files)
    return free


def _used_inodes() -> set[Inode]:
    """The files of /dev/shm that some process has mapped or open."""
    used: set[Inode] = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        # The process may end meanwhile, or be another user's, whose files are not ours to remove anyway.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            used |= _mapped_inodes(pid) | _open_inodes(pid)
    return used


def _mapped_inodes(pid: str) -> set[Inode]:
    found = set()
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if "/dev/shm/" in line:
                _, _, _, device, inode, *_ = line.split()
                found.add((_device(device), int(inode)))
    return found


def _open_inodes(pid: str) -> set[Inode]:
    found = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        link = f"/proc/{pid}/fd/{number}"
        try:
            if os.readlink(link).startswith("/dev/shm/"):
                stat = os.stat(link)
                found.add((stat.st_dev, stat.st_ino))
        except FileNotFoundError:
            continue
    return found


def _locked_inodes() -> set[Inode]:
    """Files locked by flock, from /proc/locks: "1: FLOCK ADVISORY WRITE 123 00:1b:67 0 EOF"."""
    found = set()
    with open("/proc/locks", encoding="ascii") as lines:
        for line in lines:
            for word in line.split():
                device, _, inode = word.rpartition(":")
                if device.count(":") == 1 and inode.isdigit():
                    found.add((_device(device), int(inode)))
    return found


def _device(text: str) -> int:
    major, _, minor = text.partition(":")
    return os.makedev(int(major, 16), int(minor, 16))
