"""The watchdog: who hears what, who is killed, and that nobody is killed for nothing.

Its turns are made by the test, on a clock of the test, over real sockets; what it kills is a real process.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knuckle.hardware.safety import watchdog
from knuckle.hardware.safety.watchdog import Watchdog

MS = 1_000_000
LONG_S = float(os.environ.get("KNUCKLE_PATIENCE_S", "30"))
"""No test waits for this; a machine that stands still for as long may fail them."""


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that may be killed."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


class Watched:
    """A watchdog whose turns the test makes, on a clock of its own, with the driver's end in the test's hand."""

    def __init__(self, folder: Path, pid: int, limit_s: float, clock: Callable[[], int] | None) -> None:
        self.path, self.now_ns = folder / "w.sock", 1_000 * MS
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen(64)
        self.driver, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.driver.setblocking(False)
        self.pidfd = os.pidfd_open(pid)
        self.dog = Watchdog(theirs, self.pidfd, listener, limit_s, clock or (lambda: self.now_ns))
        self.ends = [self.driver, theirs, listener]
        self.listener = listener

    def turn(self) -> str:
        return self.dog.turn(0)

    def beat(self) -> None:
        self.driver.send(b".")
        assert self.turn() == ""

    def connect(self, *said: bytes) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ends.append(client)
        client.connect(str(self.path))
        # Nobody else could ever make room or send: what would wait fails.
        client.setblocking(False)
        assert self.turn() == ""
        for words in said:
            client.send(words)
            assert self.turn() == ""
        return client

    def told(self) -> list[str]:
        """What the driver was told since it was last asked."""
        lines = []
        while select.select([self.driver], [], [], 0)[0]:
            lines.append(self.driver.recv(256).decode())
        return lines

    def idle(self) -> bool:
        """Nothing keeps it from sleeping."""
        return self.dog._poll.poll(0) == []

    def close(self) -> None:
        for end in self.ends:
            end.close()
        os.close(self.pidfd)


@pytest.fixture
def watch(tmp_path: Path, victim: subprocess.Popen[bytes]) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(limit_s: float = 0.15, clock: Callable[[], int] | None = None) -> Watched:
        made.append(Watched(tmp_path, victim.pid, limit_s, clock))
        return made[-1]

    yield make
    for watched in made:
        watched.close()


def left(client: socket.socket) -> bool:
    """Whether the watchdog has closed the connection."""
    return bool(select.select([client], [], [], 0)[0]) and client.recv(16) == b""


# The heartbeat


def test_the_limit_counts_from_the_last_beat_on_the_watchdogs_clock(watch, victim):
    watched = watch()
    watched.beat()
    watched.now_ns += 149 * MS
    watched.beat()
    watched.now_ns += 150 * MS - 1
    assert watched.turn() == ""
    assert victim.poll() is None
    watched.now_ns += 1
    assert watched.turn() == "no heartbeat for 150 ms: killed"
    assert victim.wait(LONG_S) == -signal.SIGKILL


def test_it_sleeps_until_the_limit_and_for_ever_before_the_first_beat(watch):
    watched = watch()
    assert watched.dog.patience_ms() is None
    watched.beat()
    assert watched.dog.patience_ms() == 150
    # Rounded up: a millisecond too early would be a turn for nothing.
    watched.now_ns += 149 * MS + 1
    assert watched.dog.patience_ms() == 1
    watched.now_ns += 50 * MS
    assert watched.dog.patience_ms() == 0
    assert watched.idle()


def test_a_driver_that_never_beat_is_left_alone(watch, victim):
    watched = watch(0.0)
    watched.connect(b"hold x")
    watched.now_ns += 3_600_000 * MS
    assert watched.turn() == ""
    assert watched.told() == ["hold x"]
    assert victim.poll() is None


@pytest.mark.parametrize("beats", [0, 1])
def test_a_driver_that_ends_is_not_killed(watch, victim, beats):
    watched = watch()
    for _ in range(beats):
        watched.beat()
    watched.driver.shutdown(socket.SHUT_WR)
    watched.now_ns += 1_000 * MS
    assert watched.turn() == "the driver ended"
    assert victim.poll() is None


def test_a_driver_that_ends_with_words_unread_is_not_killed_either(watch, victim):
    watched = watch()
    watched.beat()
    watched.connect(b"hold x", b"hold y")
    watched.driver.close()
    assert watched.turn() == "the driver ended"
    assert victim.poll() is None


def test_beats_that_waited_while_the_watchdog_was_kept_from_running_count(watch, victim):
    """It was not scheduled for a second, and ten beats have come meanwhile."""
    watched = watch()
    watched.beat()
    for _ in range(10):
        watched.driver.send(b".")
    watched.now_ns += 1_000 * MS
    assert watched.turn() == ""
    assert watched.dog.patience_ms() == 150
    assert victim.poll() is None


def test_a_beat_that_comes_after_the_watchdog_has_looked_at_its_clock_is_heard_too(watch, victim):
    """The limit is over at the moment it hears the beat, not at the moment it looked."""
    ticks = iter([0, 0, 0, 149 * MS, 151 * MS])
    watched = watch(clock=lambda: next(ticks))
    watched.beat()
    assert watched.dog.patience_ms() == 150
    assert watched.turn() == ""
    assert victim.poll() is None


def test_a_driver_that_died_just_before_it_would_be_killed_is_no_error(watch, victim):
    watched = watch(0.1)
    watched.beat()
    victim.kill()
    victim.wait()
    watched.now_ns += 100 * MS
    assert watched.turn() == "no heartbeat for 100 ms: killed"


def test_left_to_itself_it_kills_a_driver_whose_heartbeat_stops_not_before_the_limit(watch, victim):
    watched = watch(0.1, time.monotonic_ns)
    said: list[str] = []
    serving = threading.Thread(target=lambda: said.append(watched.dog.serve()), daemon=True)
    serving.start()
    for _ in range(5):
        watched.driver.send(b".")
        time.sleep(0.005)
    last = time.monotonic()
    watched.driver.send(b".")
    assert victim.wait(LONG_S) == -signal.SIGKILL
    assert time.monotonic() - last >= 0.1
    serving.join(LONG_S)
    assert said == ["no heartbeat for 100 ms: killed"]


# Those who talk to it


def test_the_end_of_a_commanders_connection_is_told_with_its_name(watch):
    watched = watch()
    policy = watched.connect(b"commander policy")
    page = watched.connect(b"commander page", b"commander page again")
    assert watched.told() == []
    policy.close()
    watched.turn()
    assert watched.told() == ["died policy"]
    page.close()
    watched.turn()
    assert watched.told() == ["died page again"]
    assert watched.idle()


def test_a_connection_without_a_name_or_with_nonsense_is_dropped_and_tells_nothing(watch):
    watched = watch()
    watched.connect().close()
    watched.turn()
    assert left(watched.connect(b"\xff\xfe nonsense"))
    assert watched.told() == []
    assert left(watched.connect(b"commander x", b"nonsense"))
    assert watched.told() == ["died x"]
    assert watched.idle()


def test_every_connection_is_closed_at_once_and_none_is_left_to_the_collector(watch):
    watched = watch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clients = [watched.connect() for _ in range(17)]
        for client in clients:
            client.close()
        watched.turn()
        gc.collect()
    # What other tests left to the collector is not this one's: the watchdog's sockets carry its path.
    assert [str(one.message) for one in caught if str(watched.path) in str(one.message)] == []


def test_words_are_cut_after_128_bytes(watch):
    watched = watch()
    watched.connect(b"hold " + b"x" * 1000)
    assert watched.told() == ["hold " + "x" * 123]


def test_a_seventeenth_connection_is_refused_until_another_has_left(watch):
    watched = watch()
    clients = [watched.connect() for _ in range(16)]
    assert left(watched.connect())
    assert not left(clients[-1])
    for client in clients:
        client.close()
    watched.turn()
    for _ in range(16):
        assert not left(watched.connect())
    assert left(watched.connect())


def test_none_keeps_the_watchdog_from_its_driver_by_talking(watch):
    """Of each that talks one packet a turn is heard."""
    watched = watch()
    client = watched.connect()
    for _ in range(5):
        client.send(b"hold x")
    watched.turn()
    assert watched.told() == ["hold x"]


def test_one_who_knocks_and_leaves_does_not_keep_it_waiting_at_the_door(watch):
    assert not watch().listener.getblocking()


def test_a_driver_that_does_not_read_does_not_stop_the_watchdog(watch, victim):
    watched = watch()
    watched.beat()
    client = watched.connect()
    for _ in range(1_000):
        client.send(b"hold x")
        assert watched.turn() == ""
    assert len(watched.told()) < 1_000
    watched.now_ns += 150 * MS
    assert watched.turn() == "no heartbeat for 150 ms: killed"


# As a program


@pytest.fixture
def sigint() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def words(folder: Path, pid: int, limit_s: str, *sent: bytes) -> tuple[socket.socket, list[str]]:
    """The driver's end, with ``sent`` on its way, and the words that the process is started with."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(folder / "m.sock"))
    listener.listen()
    for packet in sent:
        ours.send(packet)
    return ours, [str(pid), str(theirs.detach()), str(listener.detach()), limit_s]


def test_run_as_a_program_it_says_whom_it_killed_and_leaves_nothing_open(tmp_path, victim, capsys, sigint, open_files):
    before = open_files()
    ours, arguments = words(tmp_path, victim.pid, "0.01", b".")
    with ours:
        assert watchdog.main(arguments) == 0
    assert victim.wait(LONG_S) == -signal.SIGKILL
    assert capsys.readouterr().err == f"watchdog of process {victim.pid}: no heartbeat for 10 ms: killed\n"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert open_files() == before


def test_run_as_a_program_it_says_nothing_of_a_driver_that_ended(tmp_path, victim, capsys, sigint, monkeypatch):
    ours, arguments = words(tmp_path, victim.pid, "5", b".")
    ours.shutdown(socket.SHUT_WR)
    monkeypatch.setattr(sys, "argv", ["watchdog", *arguments])
    code = watchdog.__spec__.loader.get_code(watchdog.__name__)
    with ours, pytest.raises(SystemExit) as ended:
        exec(code, {"__name__": "__main__"})
    assert ended.value.code == 0
    assert capsys.readouterr().err == ""
    assert victim.poll() is None


def test_a_driver_that_is_gone_before_it_starts_is_no_error(tmp_path, victim, sigint):
    victim.kill()
    victim.wait()
    ours, arguments = words(tmp_path, victim.pid, "5")
    with ours:
        assert watchdog.main(arguments) == 0
