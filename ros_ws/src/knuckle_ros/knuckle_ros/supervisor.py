"""The supervisor: starts a graph's processes, sees them die, tells the others, starts them again, and tidies up.

It never imports rclpy. Deaths are seen by process handles (pidfd), not by silence. Everything happens in one loop of
one thread. A guardian (guardian.py) outlives it for a moment where it is killed.
"""

from __future__ import annotations

import json
import selectors
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from knuckle.core.errors import BusError, InputError, KnuckleError, RunError
from knuckle_ros.dds_leftovers import remove_leftovers
from knuckle_ros.domain_lock import domain_lock
from knuckle_ros.graph import Graph
from knuckle_ros.graph_process import ENDED_WELL, RESTART_WINDOW_S, RESTARTS, GraphProcess, process_environment
from knuckle_ros.guardian import Guardian
from knuckle_ros.run_members import end_members, on_domain

ESCALATION = ((0.0, signal.SIGINT), (3.0, signal.SIGTERM), (5.0, signal.SIGKILL))
"""What a process that shall end is sent, and when, s after the decision."""

POLL_S = 0.5
ORPHANS_S = 6.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RunView(Protocol):
    """Where a run is shown."""

    def line(self, process: str, text: str) -> None:
        """One line that a process printed, or that is told of it."""

    def show(self, processes: list[GraphProcess]) -> None:
        """The processes have changed, or half a second has passed."""


class Supervisor:
    """Runs ``graph`` on ROS domain ``domain`` and shows it on ``view``."""

    def __init__(self, graph: Graph, *, domain: int, view: RunView) -> None:
        self.graph, self.domain, self.view = graph, domain, view
        self.processes = [GraphProcess(name, o, graph.hosted_by(name)) for name, o in graph.processes.items()]
        self.run_id = uuid.uuid4().hex
        self._selector = selectors.DefaultSelector()
        self._asked = 0
        self._began = 0.0
        self._ending = False
        self._failure: KnuckleError | None = None

    def run(self, seconds: float | None = None) -> int:
        """Run until asked to stop (SIGINT, SIGTERM, SIGHUP) or for ``seconds``; 0, or 1 where a process stayed dead.

        Raises BusError where the domain is taken, InputError or RunError where a process refuses to start.
        """
        self._began = time.time()
        with domain_lock(self.domain, f"run {self.graph.name}"), self._signals():
            self._wait_for_orphans()
            guardian = Guardian(self.run_id)
            try:
                self._loop(None if seconds is None else time.monotonic() + seconds)
            finally:
                self._end_all()
                end_members(self.run_id, grace_s=0.0)
                remove_leftovers(self._began)
                guardian.dismiss()
        if self._failure is not None:
            raise self._failure
        return 1 if any(p.state == "failed" for p in self.processes) else 0

    def stop(self) -> None:
        """End the run, as a signal would; to be called from the view."""
        self._asked += 1

    def _wait_for_orphans(self) -> None:
        """Children of a supervisor just killed may still be ending. Nobody else runs here, as we hold the domain."""
        deadline = time.monotonic() + ORPHANS_S
        while orphans := on_domain(self.domain):
            if time.monotonic() > deadline:
                where, right = f"ROS domain {self.domain}", "end them, or choose another with --domain N"
                raise BusError(f"processes of a killed run are left: {orphans}", where=where, right=right)
            time.sleep(POLL_S / 10)

    # The loop

    def _loop(self, until: float | None) -> None:
        environment = process_environment(self.domain, self.run_id)
        while not self._asked and self._failure is None:
            now = time.monotonic()
            if until is not None and now >= until:
                return
            for process in self.processes:
                if process.state == "waiting" and now >= process.start_at:
                    process.spawn(environment)
                    self._watch(process)
            if not any(p.alive or p.state == "waiting" for p in self.processes):
                return
            self._serve(self._patience(now, until))
            self.view.show(self.processes)

    def _patience(self, now: float, until: float | None) -> float:
        times = [p.start_at for p in self.processes if p.state == "waiting"]
        times += [until] if until is not None else []
        return max(0.0, min([now + POLL_S, *times]) - now)

    def _watch(self, process: GraphProcess) -> None:
        assert process.control is not None
        self._selector.register(process.control, selectors.EVENT_READ, (process, "control"))
        self._selector.register(process.output, selectors.EVENT_READ, (process, "output"))
        self._selector.register(process.pidfd, selectors.EVENT_READ, (process, "death"))

    def _serve(self, patience: float) -> None:
        """Wait for what happens next, at most ``patience`` s, and answer it: deaths first."""
        ready = [key.data for key, _ in self._selector.select(patience)]
        if "signal" in ready:
            self._wake.recv(64)
        dead = [process for process, what in (r for r in ready if r != "signal") if what == "death"]
        for process in dead:
            self._on_death(process)
        for process, what in (r for r in ready if r != "signal"):
            if process in dead:
                continue
            if what == "control":
                self._hear(process)
            elif what == "output":
                self._relay(process)

    def _relay(self, process: GraphProcess, *, last: bool = False) -> None:
        for line in process.lines(last=last):
            self.view.line(process.name, line)

    # What processes say

    def _hear(self, process: GraphProcess) -> None:
        while process.control is not None:
            try:
                message = process.control.receive()
            except BlockingIOError:
                return
            if message is None:
                if process.control in self._selector.get_map():
                    self._selector.unregister(process.control)
                return
            self._on_message(process, *message)

    def _on_message(self, process: GraphProcess, verb: str, text: str) -> None:
        if verb == "checked":
            process.state = "checked"
            self._let_go()
        elif verb == "ready":
            process.state = "running"
        elif verb == "failed":
            code, _, line = text.partition(" ")
            process.failure = (int(code), line)
        elif verb == "health":
            node, level, line = json.loads(text)
            process.health[node] = (level, line)
        else:
            raise RunError(f"message '{verb}'", where=f"process {process.name}", right="checked, ready, failed, health")

    def _let_go(self) -> None:
        """Once every process has checked its parameters all may build their nodes: bad input starts nothing."""
        if self._failure is not None or any(
            p.state in ("waiting", "starting") and p.spawned <= 1 for p in self.processes
        ):
            return
        for process in self.processes:
            if process.state == "checked" and process.control is not None:
                process.state = "building"
                process.control.send("go")

    # Deaths

    def _on_death(self, process: GraphProcess) -> None:
        """Tell the others first; then what it said last, what it left, and whether it comes back."""
        names = [process.name, *(node.name for node in process.nodes)]
        for other in self.processes:
            if other is not process and other.control is not None:
                other.control.send("died", " ".join(names))
        self._hear(process)
        for thing in (process.control, process.output, process.pidfd):
            if thing is not None and thing in self._selector.get_map():
                self._selector.unregister(thing)
        self._relay(process, last=True)
        early = process.state != "running" and process.restarts == 0
        how = process.bury(time.monotonic())
        if self._ending:
            process.state = "ended"
            return
        remove_leftovers(self._began)
        if how == ENDED_WELL:
            process.state = "ended"
        elif process.failure is not None and early:
            # What it was given is wrong, and would be so again.
            code, line = process.failure
            process.state = "failed"
            self._failure = InputError(line) if code == InputError.exit_code else RunError(line)
        else:
            why = f"{how}: {process.failure[1]}" if process.failure is not None else how
            self.view.line(process.name, f"{why}; {self._restart(process)}")
        self._let_go()

    def _restart(self, process: GraphProcess) -> str:
        """Plan the next start, and say what was planned."""
        now = time.monotonic()
        if process.plan_restart(now):
            return f"started again in {process.start_at - now:.1f} s, inactive"
        if process.options.restart == "never":
            return "not started again (restart: never)"
        return f"not started again after {RESTARTS} restarts in {RESTART_WINDOW_S:.0f} s"

    # The end

    def _end_all(self) -> None:
        """SIGINT, then SIGTERM, then SIGKILL, until no process is left; one more Ctrl-C is SIGKILL at once."""
        self._ending = True
        began, asked = time.monotonic(), max(1, self._asked)
        steps = list(ESCALATION)
        while any(p.alive for p in self.processes):
            if self._asked > asked:
                asked, steps = self._asked, [(0.0, signal.SIGKILL)]
            if steps and time.monotonic() >= began + steps[0][0]:
                number = steps.pop(0)[1]
                for process in self.processes:
                    # While it imports, SIGINT would show as an exception somewhere in there; SIGTERM ends it quietly.
                    quiet = number == signal.SIGINT and process.state == "starting"
                    process.send_signal(signal.SIGTERM if quiet else number)
            self._serve(0.05)
        self.view.show(self.processes)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Count the signals that ask for an end, and wake the loop when one comes."""
        self._wake, wake = socket.socketpair()
        for end in (self._wake, wake):
            end.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, "signal")
        previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        old_wake = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(old_wake)
            for number, handler in previous.items():
                signal.signal(number, handler)
            self._selector.close()
            self._wake.close()
            wake.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1
