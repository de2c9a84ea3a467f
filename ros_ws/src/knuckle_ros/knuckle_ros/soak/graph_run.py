"""A graph under `knuckle run` in processes of its own, in a folder of its own: found, harmed, measured from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from knuckle.core.errors import DeviceError, RunError
from knuckle.hardware.virtual.control_socket import ask

HOST = "knuckle_ros.host"
KEPT_LINES = 200
ENDED_IN_S = 30.0


@dataclass(frozen=True)
class Usage:
    """Memory (proportional set size, so that what is shared counts once) and open descriptors of a whole run."""

    memory_mb: float
    descriptors: int
    processes: int


class GraphRun:
    """Starts ``graph`` on ``domain``; ``folder`` holds its sockets and its latch: no other run's are touched."""

    def __init__(self, graph: str, settings: Sequence[str], domain: int, folder: Path) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._sockets = folder / "knuckle"
        self._domain = domain
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_STATE_HOME": str(folder),
        }
        words = [word for text in settings for word in ("--set", text)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "knuckle.cli", "run", graph, "--no-page", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            # Ctrl-C is for the soak, which then ends this in order.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.lines.append(line.decode("utf-8", "replace").rstrip())

    def check(self) -> None:
        """RunError with the graph's last lines where it has ended."""
        if (code := self._process.poll()) is not None:
            last = "; ".join(list(self.lines)[-3:])
            raise RunError(f"the graph ended with code {code}: {last}", where="soak", right="a graph that runs")

    def hosts(self) -> dict[str, int]:
        """Process id of each process of the graph that runs now, by name."""
        found = {}
        for process in self._children():
            # One may end while it is looked at.
            with suppress(psutil.NoSuchProcess):
                words = process.cmdline()
                if HOST in words:
                    found[words[-1]] = process.pid
        return found

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send ``number`` to the process of the graph called ``name``; RunError where none runs."""
        pid = self.hosts().get(name)
        if pid is None:
            raise RunError(f"process '{name}' does not run", where="soak")
        os.kill(pid, number)

    def ask(self, what: str, line: str) -> dict[str, Any] | None:
        """The answer of the virtual servo bus ("servo_bus") or camera ("camera"); None where it is not there now.

        InputError for what cannot be asked of it.
        """
        try:
            return ask(self._sockets / f"{what}_{self._domain}.sock", line)
        except DeviceError:
            return None

    def usage(self) -> Usage | None:
        """What the run costs now, the supervisor and all below it; None where one ended meanwhile."""
        memory, descriptors = 0, 0
        try:
            whole = [psutil.Process(self._process.pid), *self._children()]
            for process in whole:
                memory += process.memory_full_info().pss
                descriptors += process.num_fds()
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            return None
        return Usage(memory * 1e-6, descriptors, len(whole))

    def _children(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return list(psutil.Process(self._process.pid).children(recursive=True))
        return []

    def end(self) -> int:
        """End it as Ctrl-C would; its exit code. A supervisor that does not end is killed, and its guardian tidies."""
        if self._process.poll() is None:
            for pid in self.hosts().values():
                # One that was left standing still could not end.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(ENDED_IN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(ENDED_IN_S)
        return code
