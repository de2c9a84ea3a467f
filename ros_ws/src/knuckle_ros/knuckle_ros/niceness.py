"""How a process gives way to the others where Linux schedules sessions against each other.

With autogroups (sched(7), on by default on desktops) a nice value counts within a session alone, and each process of a
graph is a session of its own: a planner at nice 10 would take as much from the driver as if it were at 0. What counts
between sessions is the nice value of the group, in /proc/self/autogroup.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
TRIES = 30
TRY_AGAIN_S = 0.11
"""Of all users together but root the kernel takes one value in 0.1 s, and answers EAGAIN to the others."""


def give_way(nice: int, autogroup: Path = AUTOGROUP) -> str:
    """Put this process, which leads its session, at ``nice`` among all; what the kernel refused, or nothing.

    The process's own nice value is raised in any case. A group that holds other sessions' work, a shell's, is left.
    """
    os.nice(nice)
    if nice == 0 or os.getsid(0) != os.getpid() or not autogroup.exists():
        return ""
    for left in reversed(range(TRIES)):
        try:
            autogroup.write_text(str(nice))
            break
        except BlockingIOError as error:
            if not left:
                return _refused(nice, error)
            time.sleep(TRY_AGAIN_S)
        except OSError as error:
            return _refused(nice, error)
    return ""


def _refused(nice: int, error: OSError) -> str:
    return f"nice {nice} counts within its own session alone ({error.strerror})"
