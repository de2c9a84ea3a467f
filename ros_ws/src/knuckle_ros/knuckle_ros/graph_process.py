"""One process of a graph as the supervisor sees it: its start, its pipes, its state, and how often it died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from knuckle_ros.control import ENVIRONMENT, SUPERVISOR, Control, control_pair
from knuckle_ros.graph import NodeSpec, ProcessOptions
from knuckle_ros.run_members import MARK

RESTARTS = 5
RESTART_WINDOW_S = 300.0
FIRST_BACK_OFF_S = 0.5
LONGEST_BACK_OFF_S = 8.0
READS = 16
ENDED_WELL = "ended with code 0"
LARGE_PROFILE = Path(__file__).parent / "graphs" / "shm.xml"


class GraphProcess:
    """A process, started by ``spawn``, again after it died.

    ``state`` is one of: waiting (to be started), starting (imports and checks its parameters), checked, building,
    running, ended (by itself, well), failed (will not be started again).
    """

    def __init__(self, name: str, options: ProcessOptions, nodes: tuple[NodeSpec, ...]) -> None:
        self.name, self.options, self.nodes = name, options, nodes
        self.state = "waiting"
        self.spawned = 0
        self.pid = 0
        self.start_at = 0.0
        self.failure: tuple[int, str] | None = None
        self.health: dict[str, tuple[int, str]] = {}
        self.control: Control | None = None
        self.pidfd = -1
        self.output = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque()
        self._partial = b""

    @property
    def alive(self) -> bool:
        """Whether a process of the system stands behind it now."""
        return self._process is not None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self.spawned - 1)

    def spawn(self, environment: Mapping[str, str]) -> None:
        """Start it; what it shall host goes down the control pipe first."""
        ours, theirs = control_pair()
        read, write = os.pipe()
        number = theirs.fileno()
        env = {**environment, ENVIRONMENT: str(number), SUPERVISOR: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        if self.options.shared_memory == "large":
            # The name that Jazzy's Fast DDS reads; later ones call it FASTDDS_DEFAULT_PROFILES_FILE.
            env["FASTRTPS_DEFAULT_PROFILES_FILE"] = env["FASTDDS_DEFAULT_PROFILES_FILE"] = str(LARGE_PROFILE)
        # sys.executable, of this environment: the ROS wheels' start-up hook has set the library path for no other.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "knuckle_ros.host", self.name],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            env=env,
            pass_fds=(number,),
            # A session of its own: Ctrl-C reaches the supervisor alone, which then ends the children in order.
            start_new_session=True,
        )
        os.close(write)
        os.set_blocking(read, False)
        theirs.close()
        self.pid, self.output, self.control = self._process.pid, read, ours
        self.pidfd = os.pidfd_open(self.pid)
        self.state, self.failure, self.health = "starting", None, {}
        order = {"restarted": self.spawned > 0, "nice": self.options.nice, "nodes": [n.to_json() for n in self.nodes]}
        ours.send("start", json.dumps(order))
        self.spawned += 1

    def lines(self, *, last: bool = False) -> list[str]:
        """What it printed since, whole lines; with ``last`` also the unfinished one.

        At most 1 MB at a time: one that prints without end must not keep us from the others.
        """
        found: list[str] = []
        for _ in range(READS if self.output >= 0 else 0):
            try:
                data = os.read(self.output, 65536)
            except BlockingIOError:
                break
            if not data:
                break
            *whole, self._partial = (self._partial + data).split(b"\n")
            # A process that never ends its line does not fill our memory.
            self._partial = self._partial[-65536:]
            found += [line.decode("utf-8", "replace").rstrip() for line in whole]
        if last and self._partial:
            found.append(self._partial.decode("utf-8", "replace"))
            self._partial = b""
        return found

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it through its process handle, which never names another."""
        if self._process is not None:
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:
                # It has ended; its handle is about to say so.
                return

    def bury(self, now: float) -> str:
        """After its handle said that it ended: give everything back and say how, in a few words."""
        assert self._process is not None
        assert self.control is not None
        code = self._process.wait()
        os.close(self.pidfd)
        os.close(self.output)
        self.control.close()
        self._process, self.control, self.pidfd, self.output = None, None, -1, -1
        self._deaths.append(now)
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    def plan_restart(self, now: float) -> bool:
        """Whether it may be started again, and if so when (``start_at``): at most 5 times in 300 s, ever later."""
        while self._deaths and self._deaths[0] < now - RESTART_WINDOW_S:
            self._deaths.popleft()
        if self.options.restart == "never" or len(self._deaths) > RESTARTS:
            self.state = "failed"
            return False
        self.state = "waiting"
        self.start_at = now + min(FIRST_BACK_OFF_S * 2.0 ** (len(self._deaths) - 1), LONGEST_BACK_OFF_S)
        return True


def process_environment(domain: int, run: str) -> dict[str, str]:
    """The environment of every process: one thread a library, discovery on this machine alone, the mark of the run."""
    environment = dict(os.environ)
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    environment.update(dict.fromkeys(threads, "1"))
    environment["ROS_DOMAIN_ID"] = str(domain)
    environment["RMW_IMPLEMENTATION"] = "rmw_fastrtps_cpp"
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    # glibc keeps an arena a thread; DDS has a dozen threads, and two arenas do.
    environment.setdefault("MALLOC_ARENA_MAX", "2")
    environment[MARK] = run
    return environment
