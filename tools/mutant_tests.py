"""Running tests for mutants: in children that nothing can hang, and which tests reach which line of the layer."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "hardware" / "safety"
LONGEST_S = 600.0
LONGEST_CPU_S = 40
APART_CPU_S = 10
"""Of a mutant of the watchdog's modules, whose tests take three seconds: what runs for longer runs for ever."""
KILLED, SURVIVED = 1, 0
APART = "watchdog"

Outcome = Callable[[], int]


class Forked:
    """Runs something in a child of its own process group, out of sight, with a limit on its time."""

    def __init__(self, work: Outcome, patience: int = 1, cpu_s: int = LONGEST_CPU_S) -> None:
        self._patience, self._cpu_s = patience, cpu_s
        pid = os.fork()
        if pid == 0:
            self._child(work)
        self.code = self._wait(pid)

    def _child(self, work: Outcome) -> None:
        code = KILLED
        try:
            os.setpgid(0, 0)
            cpu_s = self._patience * self._cpu_s
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nothing, number)
            code = work()
        finally:
            # Whatever a changed program raises counts as noticed.
            os._exit(code)

    def _wait(self, pid: int) -> int:
        handle = os.pidfd_open(pid)
        ended = select.select([handle], [], [], self._patience * LONGEST_S)[0]
        os.close(handle)
        # Nothing may be left of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        return os.waitstatus_to_exitcode(status) if ended else KILLED


class Failures:
    """Whether a test has failed; ``session`` and ``items`` are what was collected."""

    def __init__(self) -> None:
        self.failed = False
        self.first = ""
        """The test that failed first."""

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure, of the test or of what it needs."""
        if report.failed and not self.failed:
            self.failed, self.first = True, report.nodeid

    def run(self, items: Sequence[pytest.Item]) -> int:
        """Run tests until one fails."""
        for item in items:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if self.failed:
                return KILLED
        return SURVIVED


class Reach:
    """Which tests reach which line, and how long each takes; measured in a child, and kept in ``folder``."""

    def __init__(self, items: Sequence[pytest.Item], failures: Failures, folder: Path) -> None:
        import coverage

        self.items = {item.nodeid: item for item in items}
        data, times = folder / "coverage", folder / "times"
        if not data.exists() and Forked(lambda: self._measure(data, times, failures), patience=10).code != SURVIVED:
            raise SystemExit("the tests fail without any mutant")
        found = coverage.CoverageData(str(data))
        found.read()
        paths = {Path(path).name: path for path in found.measured_files() if Path(path).parent == FOLDER}
        self._lines = {name: found.contexts_by_lineno(path) for name, path in paths.items()}
        pairs = (line.rsplit(" ", 1) for line in times.read_text().splitlines())
        self._took = {name: float(took) for name, took in pairs}

    def _measure(self, data: Path, times: Path, failures: Failures) -> int:
        import coverage

        meter = coverage.Coverage(data_file=str(data), branch=False, config_file=False, include=[f"{FOLDER}/*"])
        meter.start()
        with times.open("w") as record:
            for name, item in self.items.items():
                meter.switch_context(name)
                began = time.perf_counter()
                failures.run([item])
                record.write(f"{name} {time.perf_counter() - began}\n")
        meter.stop()
        meter.save()
        return KILLED if failures.failed else SURVIVED

    def of(self, name: str, line: int) -> list[pytest.Item]:
        """The tests that run a line, the quickest first; those with processes are for the watchdog's modules alone."""
        # A test that is newer than what was kept may reach every line.
        newer = [n for n in self.items if n not in self._took]
        names = self.in_order([*self._lines.get(name, {}).get(line, []), *newer])
        return [self.items[n] for n in names if n in self.items and (APART in name or APART not in n)]

    def in_order(self, names: Sequence[str]) -> list[str]:
        """Names of tests, the quickest first."""
        return sorted((n for n in names if n), key=lambda n: self._took.get(n, 0.0))
