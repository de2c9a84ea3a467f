"""The watchdog beside a driver: the real process, commanders that die, and what the hand does."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knuckle.core.errors import CommandRefused, DeviceError
from knuckle.hardware.safety.states import State
from knuckle.hardware.safety.watchdog_link import CommanderLink, WatchdogLink, ask_to_hold

MS = 1_000_000
LONG_S = float(os.environ.get("KNUCKLE_PATIENCE_S", "30"))
"""No test waits for this; a machine that stands still for as long may fail them."""


def until(condition: Callable[[], bool], between: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        between()
        time.sleep(0.002)


# The driver's end, with the real process


@pytest.fixture
def link(tmp_path: Path) -> Iterator[WatchdogLink]:
    made = WatchdogLink(tmp_path / "state" / "hand.sock", 600.0)
    yield made
    made.close()
    made.close()


def state_of(rig) -> State:
    return rig.hand.status().state


def cycle(rig, link: WatchdogLink) -> None:
    rig.run()
    link.attend(rig.hand)
    rig.send(rig.lease) if state_of(rig) is State.ARMED else None


def test_a_commander_that_is_killed_leaves_the_hand_in_hold(rig, link, tmp_path):
    rig.lease = rig.armed("policy")
    code = (
        "import sys, time, pathlib; from knuckle.hardware.safety.watchdog_link import CommanderLink;"
        "link = CommanderLink(pathlib.Path(sys.argv[1]), 'policy'); print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(link.path)], stdout=subprocess.PIPE) as commander:
        assert commander.stdout is not None
        commander.stdout.readline()
        for _ in range(20):
            cycle(rig, link)
        assert state_of(rig) is State.ARMED
        commander.kill()
        until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    assert rig.hand.status().reason == "commander 'policy' died"
    assert link.alive
    assert rig.hand.status().problem == ""


def test_anyone_may_ask_for_hold_and_the_hand_can_be_armed_again(rig, link):
    rig.lease = rig.armed("policy")
    ask_to_hold(link.path, "the operator's page")
    until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    assert rig.hand.status().reason == "hold asked by the operator's page"
    rig.hand.arm("policy")


def test_a_commander_that_lets_go_counts_as_dead_and_another_does_not_matter(rig, link):
    rig.lease = rig.armed("policy")
    mine, other = CommanderLink(link.path, "policy"), CommanderLink(link.path, "page")
    other.close()
    for _ in range(20):
        cycle(rig, link)
    assert state_of(rig) is State.ARMED
    assert mine.alive
    assert not other.alive
    mine.close()
    until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))


def test_a_commander_can_see_that_its_watchdog_is_gone(link):
    mine = CommanderLink(link.path, "policy")
    link.close()
    assert not mine.alive
    mine.close()


def test_the_death_of_the_watchdog_leads_to_hold_and_keeps_the_hand_from_being_armed(rig, link):
    rig.lease = rig.armed("policy")
    cycle(rig, link)
    os.kill(link.pid, signal.SIGKILL)
    until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    assert not link.alive
    assert rig.hand.status().reason == "the watchdog died; restart the driver"
    with pytest.raises(CommandRefused, match="the watchdog died"):
        rig.hand.arm("policy")
    cycle(rig, link)
    assert not link.alive


def test_a_watchdog_that_stands_still_is_noticed_when_it_takes_no_more_beats(rig, link):
    rig.lease = rig.armed("policy")
    os.kill(link.pid, signal.SIGSTOP)
    try:
        until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    finally:
        link.close()
    assert rig.hand.status().reason == "the watchdog died; restart the driver"


def test_a_watchdog_that_dies_with_beats_unheard_is_noticed_too(rig, link):
    rig.lease = rig.armed("policy")
    os.kill(link.pid, signal.SIGSTOP)
    for _ in range(5):
        cycle(rig, link)
    assert state_of(rig) is State.ARMED
    os.kill(link.pid, signal.SIGKILL)
    until(lambda: state_of(rig) is State.HOLD, lambda: cycle(rig, link))
    assert not link.alive


def test_a_watchdog_without_faults_disturbs_nothing_and_ends_with_its_driver(rig, tmp_path):
    link = WatchdogLink(tmp_path / "hand.sock", 600.0)
    rig.lease = rig.armed()
    for _ in range(50):
        cycle(rig, link)
    assert (state_of(rig), rig.hand.status().problem) == (State.ARMED, "")
    pidfd = os.pidfd_open(link.pid)
    link.close()
    assert select.select([pidfd], [], [], LONG_S)[0]
    os.close(pidfd)
    assert not link.path.exists()


DRIVER = """
import pathlib, sys, time
from knuckle.hardware.safety.watchdog_link import WatchdogLink
class Hand:
    def __getattr__(self, name):
        return lambda *_: None
link = WatchdogLink(pathlib.Path(sys.argv[1]), float(sys.argv[2]))
for _ in range(20):
    link.attend(Hand())
    time.sleep(0.01)
print(time.monotonic_ns(), flush=True)
{}
"""


@pytest.mark.parametrize("ending", ["time.sleep(600)", "os = __import__('os'); os.kill(os.getpid(), 19)"])
def test_a_driver_that_hangs_or_is_stopped_is_killed_and_the_watchdog_ends_too(tmp_path, ending):
    path = tmp_path / "hand.sock"
    words = [sys.executable, "-c", DRIVER.format(ending), str(path), "0.3"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as driver:
        said, complaint = driver.communicate(timeout=LONG_S)
        took_s = (time.monotonic_ns() - int(said)) * 1e-9
    assert driver.returncode == -signal.SIGKILL
    assert took_s >= 0.28
    # The pipe's end came when the watchdog had ended as well, and it said why.
    assert b"no heartbeat for 300 ms: killed" in complaint


def test_a_driver_that_crashes_takes_its_watchdog_with_it(tmp_path):
    words = [sys.executable, "-c", DRIVER.format("raise SystemExit(3)"), str(tmp_path / "hand.sock"), "30"]
    done = subprocess.run(words, capture_output=True, timeout=LONG_S)
    assert (done.returncode, done.stderr) == (3, b"")


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
    link.close()


def test_it_starts_for_little(tmp_path):
    """CPU seconds, so that a busy machine changes nothing: interpreter, imports and all."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    link = WatchdogLink(tmp_path / "hand.sock", 600.0)
    ask_to_hold(link.path, "me")
    with socket.socket() as _:
        until(lambda: bool(link._heard()))
    link.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.2


def test_where_no_watchdog_listens_or_can_listen_one_line_says_so(tmp_path):
    with pytest.raises(DeviceError, match="no watchdog listens"):
        CommanderLink(tmp_path / "none.sock", "policy")
    with pytest.raises(DeviceError, match="no watchdog listens"):
        ask_to_hold(tmp_path / "none.sock", "policy")
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="the watchdog cannot be started"):
        WatchdogLink(tmp_path / "file" / "hand.sock")
    with pytest.raises(DeviceError, match="the watchdog cannot be started"):
        WatchdogLink(tmp_path / ("x" * 120))
