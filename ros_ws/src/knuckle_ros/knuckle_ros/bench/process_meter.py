"""CPU time and memory of the processes of a run, while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from knuckle_ros.graph_process import GraphProcess


class ProcessMeter:
    """A view of a run (see supervisor.RunView) that measures from ``begin`` to ``end`` and shows errors alone.

    ``begin`` and ``end`` look at the processes and say whether it is time; ``finished`` is called at the end.
    """

    def __init__(
        self, begin: Callable[[list[GraphProcess]], bool], end: Callable[[list[GraphProcess]], bool], name: str = ""
    ) -> None:
        self._begin, self._end, self._prefix = begin, end, f"{name}_" if name else ""
        self._started: dict[int, float] = {}
        self._began_s = 0.0
        self.finished: Callable[[], None] = lambda: None
        self.figures: dict[str, float] = {}
        self.lines: list[str] = []

    def line(self, process: str, text: str) -> None:
        """Keep what processes print."""
        self.lines.append(f"[{process}] {text}")

    def show(self, processes: list[GraphProcess]) -> None:
        """Look whether to begin or to end."""
        if not self._started and self._begin(processes):
            self._began_s = time.monotonic()
            self._started = {process.pid: _cpu_s(process.pid) for process in processes if process.alive}
        elif self._started and not self.figures and self._end(processes):
            self._measure(processes)
            self.finished()

    def _measure(self, processes: list[GraphProcess]) -> None:
        wall_s = time.monotonic() - self._began_s
        total = _memory_mb(psutil.Process().pid)
        self.figures[f"{self._prefix}supervisor_memory_mb"] = total
        for process in processes:
            if process.alive and process.pid in self._started:
                used_s = _cpu_s(process.pid) - self._started[process.pid]
                memory = _memory_mb(process.pid)
                total += memory
                self.figures[f"{self._prefix}{process.name}_cpu_percent"] = 100.0 * used_s / wall_s
                self.figures[f"{self._prefix}{process.name}_memory_mb"] = memory
        self.figures[f"{self._prefix}total_memory_mb"] = total


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _memory_mb(pid: int) -> float:
    """Proportional set size: what several share is counted once in their sum."""
    return float(psutil.Process(pid).memory_full_info().pss) * 1e-6
