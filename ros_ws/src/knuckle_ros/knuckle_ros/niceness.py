"""How a process gives way to the others where Linux schedules sessions against each other.

With autogroups (sched(7), on by default on desktops) a nice value counts within a session alone, and each process of a
graph is a session of its own: a planner at nice 10 would take as much from the driver as if it were at 0. What counts
between sessions is the nice value of the group, in /proc/self/autogroup.
"""

from __future__ import annotations

import os
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def give_way(nice: int, autogroup: Path = AUTOGROUP) -> str:
    """Put this process, which leads its session, at ``nice`` among all; what the kernel refused, or nothing.

    The process's own nice value is raised in any case. A group that holds other sessions' work, a shell's, is left.
    """
    os.nice(nice)
    if nice == 0 or os.getsid(0) != os.getpid() or not autogroup.exists():
        return ""
    try:
        autogroup.write_text(str(nice))
    except OSError as error:
        return f"nice {nice} counts within its own session alone ({error.strerror})"
    return ""
