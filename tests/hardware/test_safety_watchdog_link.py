"""The ends of the watchdog's sockets: what a driver makes of the words that come, and the real process beside it."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knuckle.core.errors import CommandRefused, DeviceError
from knuckle.hardware.safety.states import State
from knuckle.hardware.safety.watchdog_link import CommanderLink, DriverEnd, WatchdogLink, ask_to_hold

MS = 1_000_000
LONG_S = float(os.environ.get("KNUCKLE_PATIENCE_S", "30"))
"""No test waits for this; a machine that stands still for as long may fail them."""
GONE = "the watchdog died; restart the driver"


def until(condition: Callable[[], bool], between: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        between()
        time.sleep(0.002)


def state_of(rig) -> State:
    return rig.hand.status().state


def cycle(rig, end: DriverEnd) -> None:
    rig.run()
    end.attend(rig.hand)
    rig.send(rig.lease) if state_of(rig) is State.ARMED else None


# The driver's end, with the watchdog's in the test's hand


@pytest.fixture
def ends() -> Iterator[tuple[DriverEnd, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    yield DriverEnd(ours), theirs
    ours.close()
    theirs.close()


def test_each_cycle_is_one_beat_and_disturbs_nothing(rig, ends):
    end, dog = ends
    rig.lease = rig.armed()
    for _ in range(20):
        cycle(rig, end)
        assert dog.recv(16) == b"."
        with pytest.raises(BlockingIOError):
            dog.recv(16)
    assert (state_of(rig), rig.hand.status().problem, end.alive) == (State.ARMED, "", True)


def test_the_death_of_the_commander_that_has_the_lease_holds_the_hand_and_that_of_another_does_not(rig, ends):
    end, dog = ends
    rig.lease = rig.armed("policy")
    dog.send(b"died page")
    cycle(rig, end)
    assert state_of(rig) is State.ARMED
    dog.send(b"died policy")
    cycle(rig, end)
    assert state_of(rig) is State.HOLD
    assert rig.hand.status().reason == "commander 'policy' died"
    assert end.alive
    assert rig.hand.status().problem == ""


def test_anyone_may_ask_for_hold_and_the_hand_can_be_armed_again(rig, ends):
    end, dog = ends
    rig.lease = rig.armed("policy")
    dog.send(b"hold the operator's page")
    cycle(rig, end)
    assert state_of(rig) is State.HOLD
    assert rig.hand.status().reason == "hold asked by the operator's page"
    rig.hand.arm("policy")


def test_every_word_that_waits_is_heard_in_one_cycle_the_last_too(rig, ends):
    end, dog = ends
    rig.lease = rig.armed("policy")
    for name in ("a", "b", "policy"):
        dog.send(f"died {name}".encode())
    cycle(rig, end)
    assert state_of(rig) is State.HOLD


@pytest.mark.parametrize("unheard", [0, 3])
def test_the_death_of_the_watchdog_leads_to_hold_and_keeps_the_hand_from_being_armed(rig, ends, unheard):
    """Also where it died with beats unheard, which the socket tells in another way."""
    end, dog = ends
    rig.lease = rig.armed("policy")
    for _ in range(unheard):
        cycle(rig, end)
    assert end.alive is True
    dog.close()
    for _ in range(2):
        cycle(rig, end)
        assert state_of(rig) is State.HOLD
        assert end.alive is False
    assert rig.hand.status().reason == GONE
    with pytest.raises(CommandRefused, match="the watchdog died"):
        rig.hand.arm("policy")


def test_a_watchdog_that_takes_no_more_beats_is_noticed(rig, ends):
    end, _ = ends
    rig.lease = rig.armed("policy")
    cycles = 0
    while state_of(rig) is State.ARMED and cycles < 2_000:
        cycle(rig, end)
        cycles += 1
    assert state_of(rig) is State.HOLD
    assert rig.hand.status().reason == GONE
    assert end.alive is False


def test_a_driver_that_ends_says_so_by_the_end_of_its_connection(ends):
    end, dog = ends
    end.close()
    assert dog.recv(16) == b""


# The real process


@pytest.fixture
def link(tmp_path: Path) -> Iterator[WatchdogLink]:
    made = WatchdogLink(tmp_path / "state" / "knuckle" / "hand.sock", 600.0)
    yield made
    with_limits(made)
    made.close()
    made.close()


def with_limits(link: WatchdogLink, grace: list[float | None] | None = None) -> None:
    """``close`` waits for its process no longer than it must; what it would have waited is noted."""
    waited = link._process.wait

    def wait(timeout: float | None = None) -> int:
        if grace is not None:
            grace.append(timeout)
        return waited(LONG_S if timeout is None or grace is None else 0.05)

    link._process.wait = wait  # type: ignore[method-assign]


def gone(pid: int) -> bool:
    """Whether there is no such process, not even one that waits to be looked after."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[int]:
    """A child that does ``work`` and ends with code 3; its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(3)
    try:
        yield pid
    finally:
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def ending(pid: int) -> int:
    """How a child ended: its code, or minus its signal."""
    pidfd = os.pidfd_open(pid)
    assert select.select([pidfd], [], [], LONG_S)[0]
    os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_commander_that_is_killed_leaves_the_hand_in_hold(rig, link):
    rig.lease = rig.armed("policy")
    read, write = os.pipe()

    def command() -> None:
        kept = CommanderLink(link.path, "policy")
        os.write(write, b"." if kept.alive else b"x")
        signal.pause()

    with forked(command) as commander:
        os.close(write)
        assert os.read(read, 1) == b"."
        for _ in range(20):
            cycle(rig, link)
        assert state_of(rig) is State.ARMED
        os.kill(commander, signal.SIGKILL)
        until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    os.close(read)
    assert rig.hand.status().reason == "commander 'policy' died"
    assert link.alive


def test_a_commander_that_lets_go_counts_as_dead(rig, link):
    rig.lease = rig.armed("policy")
    mine = CommanderLink(link.path, "policy")
    assert mine.alive is True
    mine.close()
    assert mine.alive is False
    until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    assert rig.hand.status().reason == "commander 'policy' died"


def test_whoever_asks_reaches_the_driver_through_the_process(rig, link):
    rig.lease = rig.armed("policy")
    ask_to_hold(link.path, "me")
    until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    assert rig.hand.status().reason == "hold asked by me"


@pytest.mark.parametrize("unheard", [False, True])
def test_a_commander_can_see_that_its_watchdog_is_gone(tmp_path, unheard):
    """Also where it went without having heard who this is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dog:
        dog.bind(str(tmp_path / "dog.sock"))
        dog.listen()
        mine = CommanderLink(tmp_path / "dog.sock", "policy")
        theirs, _ = dog.accept()
        assert mine.alive is True
        if not unheard:
            assert theirs.recv(64) == b"commander policy"
        theirs.close()
        assert mine.alive is False
        mine.close()


def test_the_death_of_the_process_is_noticed(rig, link):
    rig.lease = rig.armed("policy")
    os.kill(link.pid, signal.SIGKILL)
    until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    assert rig.hand.status().reason == GONE


def test_it_ends_with_its_driver_and_leaves_nothing(tmp_path, open_files):
    before = open_files()
    link = WatchdogLink(tmp_path / "hand.sock", 600.0)
    assert open_files() == before + 1
    with_limits(link)
    link.close()
    assert link._process.returncode == 0
    assert gone(link.pid)
    assert not link.path.exists()
    assert open_files() == before


def test_one_that_stands_still_is_given_a_second_and_then_killed(tmp_path):
    grace: list[float | None] = []
    link = WatchdogLink(tmp_path / "hand.sock", 600.0)
    os.kill(link.pid, signal.SIGSTOP)
    with_limits(link, grace)
    pid, began = link.pid, time.monotonic()
    until(lambda: "T" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
    link.close()
    assert time.monotonic() - began < LONG_S
    assert grace[0] == 1.0
    assert gone(pid)
    assert not link.path.exists()


def test_it_is_told_whom_to_watch_and_for_how_long_and_a_terminal_does_not_reach_it(tmp_path):
    link = WatchdogLink(tmp_path / "hand.sock")
    with_limits(link)
    while not (said := Path(f"/proc/{link.pid}/cmdline").read_text().split("\0")[:-1]):
        time.sleep(0.01)  # The kernel shows no words while it is yet to become the watchdog.
    session = os.getsid(link.pid)
    link.close()
    assert said[-4] == str(os.getpid())
    # The table at the head of the watchdog's module, and docs/faults.md.
    assert said[-1] == "0.15"
    assert session == link.pid


@pytest.mark.parametrize("stopped", [False, True])
def test_a_driver_that_hangs_or_is_stopped_is_killed_and_the_watchdog_ends_too(tmp_path, stopped, rig):
    read, write = os.pipe()

    def drive() -> None:
        os.dup2(write, 2)
        os.close(read)
        link = WatchdogLink(tmp_path / "hand.sock", 0.2)
        for _ in range(5):
            link.attend(rig.hand)
            time.sleep(0.01)
        os.write(write, f"{time.monotonic_ns()}\n".encode())
        os.kill(os.getpid(), signal.SIGSTOP) if stopped else signal.pause()

    with forked(drive) as driver:
        os.close(write)
        assert ending(driver) == -signal.SIGKILL
        ended_ns, text = time.monotonic_ns(), b""
        # The pipe's end comes when the watchdog has ended as well.
        while select.select([read], [], [], LONG_S)[0] and (more := os.read(read, 4096)):
            text += more
    os.close(read)
    last, _, complaint = text.decode().partition("\n")
    assert ended_ns - int(last) >= 180 * MS
    assert complaint == f"watchdog of process {driver}: no heartbeat for 200 ms: killed\n"


def test_a_driver_that_crashes_takes_its_watchdog_with_it(tmp_path):
    read, write = os.pipe()

    def drive() -> None:
        os.dup2(write, 2)
        os.close(read)
        os.write(write, f"{WatchdogLink(tmp_path / 'hand.sock', 30.0).pid}\n".encode())

    with forked(drive) as driver:
        os.close(write)
        text = b""
        while select.select([read], [], [], LONG_S)[0] and (more := os.read(read, 4096)):
            text += more
        assert ending(driver) == 3
    os.close(read)
    # Its number and nothing else: the end of the pipe is the end of both.
    assert text.strip().isdigit()


def test_the_socket_is_for_this_user_alone_and_takes_the_place_of_one_left_behind(tmp_path):
    path = tmp_path / "hand.sock"
    path.write_text("left behind")
    before = os.umask(0)
    try:
        link = WatchdogLink(path, 600.0)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    with_limits(link)
    link.close()


def test_it_starts_for_little(tmp_path):
    """CPU seconds, so that a busy machine changes nothing: interpreter, imports and all."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    link = WatchdogLink(tmp_path / "hand.sock", 600.0)
    ask_to_hold(link.path, "me")
    with_limits(link)
    until(lambda: bool(link._packet()))
    link.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.2


def test_where_no_watchdog_listens_or_can_listen_one_line_says_so_and_nothing_is_left_open(tmp_path, open_files):
    (tmp_path / "file").write_text("")
    tries: list[tuple[str, Callable[[], object]]] = [
        ("no watchdog listens", lambda: CommanderLink(tmp_path / "none.sock", "policy")),
        ("no watchdog listens", lambda: ask_to_hold(tmp_path / "none.sock", "policy")),
        ("the watchdog cannot be started", lambda: WatchdogLink(tmp_path / "file" / "hand.sock")),
        ("the watchdog cannot be started", lambda: WatchdogLink(tmp_path / ("x" * 120))),
    ]
    for said, work in tries:
        before = open_files()
        # What was raised keeps the frames, and with them what they would leave open.
        with pytest.raises(DeviceError, match=said) as refused:
            work()
        assert open_files() == before
        assert refused.value.__traceback__ is not None


def test_a_process_that_cannot_be_started_leaves_no_socket_of_it(tmp_path, monkeypatch, open_files):
    def failing(*_: object, **__: object) -> None:
        raise OSError(11, "no more processes")

    monkeypatch.setattr(subprocess, "Popen", failing)
    before = open_files()
    with pytest.raises(DeviceError, match="no more processes") as refused:
        WatchdogLink(tmp_path / "hand.sock")
    assert open_files() == before
    assert refused.value.where == str(tmp_path / "hand.sock")
