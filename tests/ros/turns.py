"""How long a turn the kernel gives each thread of a process."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_GETATTR = {"x86_64": 315, "aarch64": 275}
_ATTR = struct.Struct("=IIQiIQQQII")


def turns_ns(pid: int) -> list[int]:
    """Turns of its threads, ns, the first thread's first; empty where kernel (before 6.12) or machine do not tell."""
    number = _GETATTR.get(platform.machine())
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if number is None or release < (6, 12):
        return []
    found = []
    for thread in sorted(map(int, os.listdir(f"/proc/{pid}/task"))):
        attr = ctypes.create_string_buffer(_ATTR.size)
        if ctypes.CDLL(None, use_errno=True).syscall(number, thread, attr, _ATTR.size, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        found.append(int(_ATTR.unpack(attr.raw)[5]))
    return found
