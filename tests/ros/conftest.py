"""A graph run by the command, watched and harmed by a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from knuckle_ros.dds_leftovers import FOLDER, GROUP
from knuckle_ros.run_members import MARK

HERE = Path(__file__).parent
ASK_AGAIN_S = 5.0


class GraphRun:
    """``knuckle run`` in a process of its own, on a domain of its own."""

    def __init__(self, graph: str, arguments: Sequence[str], domain: int, path: str = "") -> None:
        self.lines: list[str] = []
        path = os.pathsep.join(filter(None, [path, str(HERE), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path, "ROS_DOMAIN_ID": str(domain)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "knuckle.cli", "run", graph, *arguments],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def wait_for(self, text: str, times: int = 1, timeout_s: float = 20.0) -> None:
        """Wait until ``text`` was printed in that many lines."""
        wait_until(
            lambda: sum(text in line for line in self.lines) >= times, timeout_s, lambda: f"{text}: {self.lines}"
        )

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for the command's end and that of all that it left running; its exit code."""
        code = self.process.wait(timeout_s)
        # The guardian holds the pipe until it has tidied up.
        self._reader.join(timeout_s)
        return code

    def children(self) -> dict[str, int]:
        """Process id of every process of the graph that runs now, by name."""
        found = {}
        for pid in descendants(self.process.pid):
            words = command_line(pid)
            if "knuckle_ros.host" in words:
                found[words[-1]] = pid
        return found

    def kill(self, process: str) -> None:
        """SIGKILL a process of the graph."""
        os.kill(self.children()[process], signal.SIGKILL)


def descendants(parent: int) -> list[int]:
    """Process ids whose parent is ``parent``."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(word) for word in listed.split()]


def command_line(pid: int) -> list[str]:
    """The words that a process was started with; none where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except FileNotFoundError:
        return []


def wait_until(condition: Callable[[], bool], timeout_s: float, what: Callable[[], str]) -> None:
    """Wait for ``condition``; fail saying ``what`` when it does not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {timeout_s} s: {what()}")
        time.sleep(0.01)


def marked_processes() -> list[int]:
    """Every process of any run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}=".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def shared_memory() -> set[str]:
    """The DDS files in /dev/shm."""
    return {name for name in os.listdir(FOLDER) if GROUP.match(name)}


class BusProbe:
    """A node of the test's own on the graph's domain, served in a thread."""

    def __init__(self, domain: int) -> None:
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        self.context = Context()
        self.context.init(domain_id=domain)
        self.node = Node("probe", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: dict[str, list[Any]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._stopping.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def listen(self, kind: Any, topic: str, qos: Any = 10) -> list[Any]:
        """The list that messages of ``topic`` are appended to."""
        messages = self.heard.setdefault(topic, [])
        self.node.create_subscription(kind, topic, messages.append, qos)
        return messages

    def call(self, kind: Any, service: str, timeout_s: float = 10.0, **fields: Any) -> Any:
        """The answer of a service."""
        client = self.node.create_client(kind, service)
        assert client.wait_for_service(timeout_s), service
        future = client.call_async(kind.Request(**fields))
        wait_until(future.done, timeout_s, lambda: f"no answer from {service}")
        return future.result()

    def call_again(self, kind: Any, service: str, timeout_s: float, **fields: Any) -> tuple[Any, int]:
        """The answer of a service that may have died a moment ago, and how often it was asked: every 5 s.

        DDS shows a killed process for seconds on: a question that only it can hear is lost without a word. And a
        server that has not found our reader yet answers into nothing: where more than one question was needed, an
        earlier one may have been carried out.
        """
        client = self.node.create_client(kind, service)
        end, asked = time.monotonic() + timeout_s, 0
        while time.monotonic() < end:
            assert client.wait_for_service(timeout_s), service
            future = client.call_async(kind.Request(**fields))
            heard = threading.Event()
            future.add_done_callback(lambda _, heard=heard: heard.set())
            asked += 1
            if heard.wait(ASK_AGAIN_S):
                return future.result(), asked
            client.remove_pending_request(future)
            print(f"{service}: no answer in {ASK_AGAIN_S:g} s, asked again")
        pytest.fail(f"after {timeout_s} s: no answer from {service}")

    def answer(self, ask: Callable[[], Any], timeout_s: float = 20.0, waiting_for: str = "an answer") -> Any:
        """What the future that ``ask`` gives ends with.

        Asked in the thread that serves: rclpy's action client, unlike its service client, holds no lock between
        sending a question and noting it, and drops an answer that comes in between.
        """
        asked = self.executor.create_task(ask)
        wait_until(asked.done, timeout_s, lambda: f"never asked: {waiting_for}")
        future = asked.result()
        wait_until(future.done, timeout_s, lambda: f"never came: {waiting_for}")
        return future.result()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def probe(free_domain: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[BusProbe]:
    """A node of the test's own beside the graph."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    bus = BusProbe(free_domain)
    yield bus
    bus.close()


@pytest.fixture(scope="session")
def free_domain() -> int:
    """A ROS domain that this test process has for itself."""
    return 20 + os.getpid() % 60


@pytest.fixture
def run_graph(free_domain: int) -> Iterator[Callable[..., GraphRun]]:
    """Start a graph; whatever the test leaves is ended, and nothing of it may be left."""
    yield from _runs(free_domain)


@pytest.fixture(scope="module")
def shared_environment() -> Iterator[pytest.MonkeyPatch]:
    """Changes of the environment for all tests of a module."""
    with pytest.MonkeyPatch.context() as changes:
        changes.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield changes


@pytest.fixture(scope="module")
def shared_probe(free_domain: int, shared_environment: pytest.MonkeyPatch) -> Iterator[BusProbe]:
    """``probe`` for all tests of a module that share a graph."""
    bus = BusProbe(free_domain)
    yield bus
    bus.close()


@pytest.fixture(scope="module")
def run_shared_graph(free_domain: int) -> Iterator[Callable[..., GraphRun]]:
    """``run_graph`` for all tests of a module that leave the graph as they found it."""
    yield from _runs(free_domain)


def _runs(domain: int) -> Iterator[Callable[..., GraphRun]]:
    runs: list[GraphRun] = []

    def start(graph: str, *arguments: str, path: str = "") -> GraphRun:
        runs.append(GraphRun(graph, arguments, domain, path))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
        run.wait()


@pytest.fixture
def port() -> Iterator[Any]:
    """The port of virtual servos of a D'Claw with a monitor, which outlives drivers: no graph's process has it."""
    from knuckle.hardware.spec.dclaw import dclaw
    from knuckle.hardware.spec.dynamixel_table import XM430_W210
    from knuckle.hardware.virtual.bus import VirtualBus
    from knuckle.hardware.virtual.joints import LaggingJoints
    from knuckle.hardware.virtual.monitor import Envelope, ServoMonitor
    from knuckle.hardware.virtual.pty_port import VirtualPort

    hand, now = dclaw(3), time.monotonic_ns()
    bus = VirtualBus(hand, LaggingJoints(hand, now_ns=now), XM430_W210, now_ns=now)
    with VirtualPort(bus, monitor=ServoMonitor(Envelope.of_hand(hand), bus.truth())) as port:
        yield port
