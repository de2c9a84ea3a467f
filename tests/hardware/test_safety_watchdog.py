"""The watchdog: who hears what, who is killed, and that nobody is killed for nothing: real processes and sockets."""

from __future__ import annotations

import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knuckle.hardware.safety import watchdog
from knuckle.hardware.safety.watchdog import Watchdog

MS = 1_000_000
LONG_S = float(os.environ.get("KNUCKLE_PATIENCE_S", "30"))
"""No test waits for this; a machine that stands still for as long may fail them."""


def packets() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(LONG_S)
    return ours, theirs


def until(condition: Callable[[], bool], between: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        between()
        time.sleep(0.002)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that may be killed."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


class Watched:
    """A watchdog served by a thread of this process, with the driver's end in the test's hand."""

    def __init__(self, folder: Path, pid: int, limit_s: float, clock: Callable[[], int]) -> None:
        self.path = folder / "w.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen(64)
        self.driver, theirs = packets()
        self.pidfd = os.pidfd_open(pid)
        self.said: list[str] = []
        self.dog = Watchdog(theirs, self.pidfd, listener, limit_s, clock)
        self.ends = (self.driver, theirs, listener)
        self.thread = threading.Thread(target=lambda: self.said.append(self.dog.serve()))
        self.thread.start()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(LONG_S)
        client.connect(str(self.path))
        return client

    def told(self) -> str:
        return self.driver.recv(256).decode()

    def ended(self) -> str:
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()
        return self.said[0]

    def close(self) -> None:
        self.driver.close()
        self.thread.join(LONG_S)
        for end in self.ends:
            end.close()
        os.close(self.pidfd)


@pytest.fixture
def watch(tmp_path: Path, victim: subprocess.Popen[bytes]) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(limit_s: float = LONG_S, clock: Callable[[], int] = time.monotonic_ns) -> Watched:
        made.append(Watched(tmp_path, victim.pid, limit_s, clock))
        return made[-1]

    yield make
    for watched in made:
        watched.close()


# The process itself


def test_a_driver_whose_heartbeat_stops_is_killed_not_before_the_limit(watch, victim):
    watched = watch(0.2)
    for _ in range(5):
        watched.driver.send(b".")
        time.sleep(0.01)
    last = time.monotonic()
    watched.driver.send(b".")
    assert victim.wait(LONG_S) == -signal.SIGKILL
    assert time.monotonic() - last >= 0.2
    assert watched.ended() == "no heartbeat for 200 ms: killed"


def test_a_driver_that_never_beat_is_left_alone(watch, victim):
    watched = watch(0.0)
    watched.connect().send(b"hold x")
    assert watched.told() == "hold x"
    assert victim.poll() is None


def test_a_driver_that_ends_is_not_killed(watch, victim):
    watched = watch()
    watched.driver.send(b".")
    watched.driver.shutdown(socket.SHUT_WR)
    assert watched.ended() == "the driver ended"
    assert victim.poll() is None


def test_a_driver_that_ends_with_words_unread_is_not_killed_either(watch, victim):
    watched = watch()
    watched.driver.send(b".")
    client = watched.connect()
    client.send(b"hold x")
    client.send(b"hold y")
    assert watched.told() == "hold x"
    assert select.select([watched.driver], [], [], LONG_S)[0]
    watched.driver.close()
    assert watched.ended() == "the driver ended"
    assert victim.poll() is None


def test_the_limit_counts_from_the_last_beat_on_the_watchdogs_clock(watch, victim):
    now = [1_000 * MS]
    watched = watch(0.15, lambda: now[0])
    nudge = watched.connect()

    def passes(time_ns: int, beat: bool) -> None:
        """Time passes, and the watchdog wakes; it has looked at its clock when the second word is passed on."""
        now[0] += time_ns
        if beat:
            watched.driver.send(b".")
        for _ in range(2):
            nudge.send(b"hold x")
            watched.told()

    passes(0, beat=True)
    passes(149 * MS, beat=False)
    passes(0, beat=True)
    passes(150 * MS - 1, beat=False)
    assert victim.poll() is None
    now[0] += 1
    nudge.send(b"hold x")
    assert watched.ended() == "no heartbeat for 150 ms: killed"
    assert victim.wait(LONG_S) == -signal.SIGKILL


def test_beats_that_waited_while_the_watchdog_was_kept_from_running_count(tmp_path, victim):
    """It was not scheduled for a second, and ten beats have come meanwhile."""
    ours, theirs = packets()
    now = [0]
    pidfd = os.pidfd_open(victim.pid)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "w.sock"))
    listener.listen()
    dog = Watchdog(theirs, pidfd, listener, 0.15, lambda: now[0])
    for _ in range(10):
        ours.send(b".")
    now[0] = 1_000 * MS
    ours.shutdown(socket.SHUT_WR)
    assert dog.serve() == "the driver ended"
    assert victim.poll() is None
    for end in (ours, theirs, listener):
        end.close()
    os.close(pidfd)


def test_a_driver_that_died_just_before_it_would_be_killed_is_no_error(watch, victim):
    watched = watch(0.1)
    victim.kill()
    victim.wait()
    watched.driver.send(b".")
    assert watched.ended() == "no heartbeat for 100 ms: killed"


def test_the_end_of_a_commanders_connection_is_told_with_its_name(watch):
    watched = watch()
    policy, page = watched.connect(), watched.connect()
    policy.send(b"commander policy")
    page.send(b"commander page")
    page.send(b"commander page again")
    policy.close()
    assert watched.told() == "died policy"
    page.close()
    assert watched.told() == "died page again"


def test_a_connection_without_a_name_or_with_nonsense_is_dropped_and_tells_nothing(watch):
    watched = watch()
    watched.connect().close()
    stranger = watched.connect()
    stranger.send(b"\xff\xfe nonsense")
    assert stranger.recv(16) == b""
    named = watched.connect()
    named.send(b"commander x")
    named.send(b"nonsense")
    assert watched.told() == "died x"


def test_long_words_are_cut_and_many_connections_refused(watch):
    watched = watch()
    clients = [watched.connect() for _ in range(watchdog.MOST_CLIENTS + 1)]
    assert clients[-1].recv(16) == b""
    clients[0].send(b"hold " + b"x" * 1000)
    assert watched.told() == "hold " + "x" * 123
    clients[0].close()
    clients[1].send(b"hold y")
    assert watched.told() == "hold y"
    again = watched.connect()
    again.send(b"hold z")
    assert watched.told() == "hold z"


def test_a_driver_that_does_not_read_does_not_stop_the_watchdog(watch, victim):
    watched = watch(0.3)
    client = watched.connect()
    client.settimeout(1.0)
    watched.driver.send(b".")
    sent = 0
    try:
        while True:
            client.send(b"hold x")
            sent += 1
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass
    assert sent > 100
    assert victim.wait(LONG_S) == -signal.SIGKILL
    assert watched.ended().endswith("killed")


@pytest.fixture
def sigint() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def words(folder: Path, pid: int, limit_s: str, *sent: bytes) -> tuple[socket.socket, list[str]]:
    """The driver's end, with ``sent`` on its way, and the words that the process is started with."""
    ours, theirs = packets()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(folder / "m.sock"))
    listener.listen()
    for packet in sent:
        ours.send(packet)
    return ours, [str(pid), str(theirs.detach()), str(listener.detach()), limit_s]


def test_run_as_a_program_it_says_whom_it_killed(tmp_path, victim, capsys, sigint):
    ours, arguments = words(tmp_path, victim.pid, "0.01", b".")
    with ours:
        assert watchdog.main(arguments) == 0
    assert victim.wait(LONG_S) == -signal.SIGKILL
    assert capsys.readouterr().err == f"watchdog of process {victim.pid}: no heartbeat for 10 ms: killed\n"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_run_as_a_program_it_says_nothing_of_a_driver_that_ended(tmp_path, victim, capsys, sigint, monkeypatch):
    ours, arguments = words(tmp_path, victim.pid, "5", b".")
    ours.shutdown(socket.SHUT_WR)
    monkeypatch.setattr(sys, "argv", ["watchdog", *arguments])
    with ours, pytest.raises(SystemExit) as ended:
        runpy.run_path(watchdog.__file__, run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().err == ""
    assert victim.poll() is None


def test_a_driver_that_is_gone_before_it_starts_is_no_error(tmp_path, victim, sigint):
    victim.kill()
    victim.wait()
    ours, arguments = words(tmp_path, victim.pid, "5")
    with ours:
        assert watchdog.main(arguments) == 0
