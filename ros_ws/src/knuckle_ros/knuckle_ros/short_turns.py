"""How a process that wakes often and works briefly is let in at once, without rights of its own.

Linux' scheduler (EEVDF, since 6.12) lets a task that wakes interrupt a running one only where it asks for shorter turns
than that one's; else the running one keeps the processor until the next tick, 4 ms at 250 Hz. Turns are asked for with
sched_setattr(2), of 0.1 to 100 ms, by any user, and count between sessions too. They cost nothing: the share of a
processor is the nice value's. Older kernels take the call and do nothing.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

TURN_NS = 100_000
"""The shortest turn that a kernel gives."""
_SETATTR = {"x86_64": 314, "aarch64": 274}
_OTHER = 0
# struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, util_min, util_max
_ATTR = struct.Struct("=IIQiIQQQII")


def take_short_turns() -> str:
    """Ask for the shortest turns for this thread and those that it starts later; what was refused, or nothing.

    A thread under another policy than the usual one (a user's real-time priority) is left as it is.
    """
    number = _SETATTR.get(platform.machine())
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return ""
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attr = ctypes.create_string_buffer(_ATTR.pack(_ATTR.size, _OTHER, 0, nice, 0, TURN_NS, 0, 0, 0, 0), _ATTR.size)
    if ctypes.CDLL(None, use_errno=True).syscall(number, 0, attr, 0) != 0:
        return f"no short turns ({os.strerror(ctypes.get_errno())})"
    return ""
