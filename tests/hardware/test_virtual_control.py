"""A running virtual bus asked over its socket, and the command that does so."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from knuckle import cli
from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210
from knuckle.hardware.virtual.bus import VirtualBus
from knuckle.hardware.virtual.control_socket import ControlServer, ask, default_socket
from knuckle.hardware.virtual.faults import KINDS
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.monitor import Envelope, ServoMonitor
from knuckle.hardware.virtual.protocol2 import Packet
from knuckle.hardware.virtual.pty_port import VirtualPort


@pytest.fixture
def running(tmp_path: Path) -> Iterator[VirtualPort]:
    now_ns = time.monotonic_ns()
    hand = dclaw()
    bus = VirtualBus(hand, LaggingJoints(hand, now_ns=now_ns), XM430_W210, now_ns=now_ns)
    monitor = ServoMonitor(Envelope.of_hand(hand), bus.truth())
    with VirtualPort(bus, link=tmp_path / "port", socket=tmp_path / "bus.sock", monitor=monitor) as port:
        yield port


def eventually(path: Path, faults: list[str]) -> None:
    deadline = time.monotonic() + 20.0
    while ask(path, "status")["faults"] != faults:
        assert time.monotonic() < deadline, ask(path, "status")["faults"]


def test_a_bus_says_that_it_is_virtual_and_how_its_servos_are(running: VirtualPort, tmp_path: Path) -> None:
    status = ask(tmp_path / "bus.sock", "status")
    assert status["virtual"] is True
    assert (status["hand"], status["model"], status["port"]) == ("dclaw3", "XM430-W210", str(tmp_path / "port"))
    assert [servo["id"] for servo in status["servos"]] == [10, 11, 12, 20, 21, 22, 30, 31, 32]
    assert not any(servo["torque"] for servo in status["servos"])


def test_a_fault_begins_ends_by_itself_and_can_be_cleared(running: VirtualPort, tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    assert ask(path, "fault servo:11 silent for 200 ms")["began"] == "servo:11 silent for 0.2 s"
    eventually(path, [])
    ask(path, "fault bus slow by 3 ms")
    assert ask(path, "status")["faults"] == ["bus slow by 3 ms"]
    assert ask(path, "clear")["cleared"] == 1
    assert ask(path, "status")["faults"] == []
    assert ask(path, "status")["faults_injected"] == 2


def test_a_script_plays_on_the_running_bus(running: VirtualPort, tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    assert ask(path, "script at 0 s servo:10 frozen; at 50 ms servo:11 silent")["faults"] == 2
    eventually(path, ["servo:10 frozen", "servo:11 silent"])


def test_the_monitor_is_asked_and_told_over_the_socket(running: VirtualPort, tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    assert ask(path, "announce hold in 250 ms")["period"] == "hold"
    counted = ask(path, "monitor")
    assert (counted["unsafe_writes"], counted["period"]) == (0, "hold")
    with pytest.raises(InputError, match=r"announce: 'sleep' is no period; free, hold or stop"):
        ask(path, "announce sleep")


def test_the_writes_that_reached_the_servos_can_be_asked_for(running: VirtualPort, tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    goals = [Packet(11, 3, bytes([116, 0]) + at.to_bytes(4, "little")).encode() for at in (2500, 2500, 2510)]
    opened = os.open(tmp_path / "port", os.O_RDWR | os.O_NOCTTY)
    for n, goal in enumerate(goals, 1):
        os.write(opened, goal)
        deadline = time.monotonic() + 20.0
        while ask(path, "writes 116")["count"] < n:
            assert time.monotonic() < deadline
    os.close(opened)
    told = ask(path, "writes 116")["writes"]
    assert [(servo, value) for _, servo, value in told] == [(11, 2500), (11, 2500), (11, 2510)]
    assert ask(path, f"writes 116 since {told[1][0]}")["count"] == 2
    counted = ask(path, "monitor")
    assert (counted["last_goal_ns"], counted["last_moving_goal_ns"]) == (told[2][0], told[2][0])
    with pytest.raises(InputError, match=r"writes: 'all' names no writes; writes ADDRESS"):
        ask(path, "writes all")


def test_what_cannot_be_asked_is_answered_with_what_can(running: VirtualPort, tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    with pytest.raises(InputError, match=r"'fly' cannot be asked of a virtual bus; status; fault FAULT"):
        ask(path, "fly away")
    with pytest.raises(InputError, match=r"no servo 99; one of 10"):
        ask(path, "fault servo:99 silent")
    with pytest.raises(InputError, match=r"too long, or not one line"):
        ask(path, "x" * 5000)
    assert ask(path, "status")["virtual"] is True


def test_the_socket_is_its_users_alone_and_goes_with_the_bus(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bus.sock"
    server = ControlServer(path, lambda line: {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(DeviceError, match=r"another virtual bus is served there; one bus a folder"):
        ControlServer(path, lambda line: {})
    server.close()
    assert not path.exists()


def test_no_file_of_somebody_is_replaced(tmp_path: Path) -> None:
    kept = tmp_path / "notes.txt"
    kept.write_text("mine")
    with pytest.raises(InputError, match=r"is there already, and no socket; a path of its own"):
        ControlServer(kept, lambda line: {})
    hand = dclaw()
    bus = VirtualBus(hand, LaggingJoints(hand), XM430_W210)
    with pytest.raises(InputError, match=r"is there already, and no link; a path of its own"):
        VirtualPort(bus, link=kept)
    assert kept.read_text() == "mine"


def test_where_the_system_gives_no_terminal_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "openpty", refuse)
    hand = dclaw()
    with pytest.raises(DeviceError, match=r"no pseudo-terminal for virtual servos \(No space left on device\)"):
        VirtualPort(VirtualBus(hand, LaggingJoints(hand), XM430_W210))


def test_a_socket_that_a_killed_bus_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    ControlServer(path, lambda line: {}).close()


def test_a_flood_without_an_end_of_line_is_hung_up_on(running: VirtualPort, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(20.0)
        client.connect(str(tmp_path / "bus.sock"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(10_000):
                client.sendall(b"x" * 4096)
    assert ask(tmp_path / "bus.sock", "status")["virtual"] is True


def test_an_unplugged_port_is_gone_and_comes_back_under_its_name(running: VirtualPort, tmp_path: Path) -> None:
    path, port = tmp_path / "bus.sock", tmp_path / "port"
    opened = os.open(port, os.O_RDWR | os.O_NOCTTY)
    ask(path, "fault bus unplug")
    deadline = time.monotonic() + 20.0
    while port.exists():
        assert time.monotonic() < deadline
    # As with a USB adapter: the open port reads as ended, or fails.
    try:
        assert os.read(opened, 10) == b""
    except OSError:
        pass
    finally:
        os.close(opened)
    ask(path, "clear")
    while not port.exists():
        assert time.monotonic() < deadline
    os.close(os.open(port, os.O_RDWR | os.O_NOCTTY))


def test_the_command_makes_a_servo_fail(
    running: VirtualPort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--socket", str(tmp_path / "bus.sock")]
    assert cli.main(["fault", "servo:11", "slow", "--by", "5", "--for", "30s", *where]) == 0
    assert capsys.readouterr().out == "dclaw3: servo:11 slow by 5 ms for 30 s\n"
    assert ask(tmp_path / "bus.sock", "status")["faults"] == ["servo:11 slow by 5 ms for 30 s"]
    script = tmp_path / "faults.txt"
    script.write_text("# first\nat 10 s servo:12 off for 1 s\nat 0.1 s bus intermittent by 0.1\n")
    assert cli.main(["fault", "--script", str(script), *where]) == 0
    assert cli.main(["fault", "--status", *where]) == 0
    out = capsys.readouterr().out
    assert "dclaw3: 2 faults to come" in out and "dclaw3, 9 virtual XM430-W210 at" in out
    assert "servo  11: limp, at 2570 of 2570, 25 degC" in out and "servo:11 slow by 5 ms for 30 s" in out
    assert cli.main(["fault", "--clear", *where]) == 0
    assert ask(tmp_path / "bus.sock", "status")["faults"] == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "one of: TARGET KIND, --script, --list, --clear, --status"),
        (["servo:11", "silnt"], "unknown fault 'silnt'; did you mean 'silent'?"),
        (["servo:11", "silent", "--for", "long"], "is no fault; TARGET KIND"),
        (["--clear", "--for", "2s"], "--for and --by belong to TARGET KIND"),
        (["--script", "constraints.txt"], "is longer than 3000 characters"),
        (["--script", "/dev/null"], "holds no fault; lines: at TIME s"),
        (["--script", "/nowhere/faults.txt"], "cannot be read (No such file or directory); a file of faults"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_asked(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["fault", *words]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1


def test_the_kinds_of_faults_are_listed_without_any_bus(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fault", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {kind} " in out for kind in KINDS)
    assert "slow          each answer comes late [by 0 to 10000 ms, 20 unless said]; servo or bus" in out


def test_a_real_hand_is_spared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bus.sock"
    words = ["fault", "servo:11", "silent", "--socket", str(path)]
    assert cli.main(words) == 1
    assert "no virtual servo bus runs here; faults are for virtual hands" in capsys.readouterr().err
    asked = []

    def real(line: str) -> dict[str, object]:
        asked.append(line)
        return {"virtual": False, "hand": "dclaw3", "began": "it"}

    server, done = ControlServer(path, real), threading.Event()

    def serve() -> None:
        import select

        while not done.is_set():
            server.serve(select.select(server.descriptors(), [], [], 0.05)[0])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert cli.main(words) == 1
        assert "does not call itself virtual; a real hand is spared, unless --armed-for-faults" in (
            capsys.readouterr().err
        )
        assert asked == ["status"]
        assert cli.main([*words, "--armed-for-faults"]) == 0
        assert asked == ["status", "status", "fault servo:11 silent"]
    finally:
        done.set()
        thread.join()
        server.close()


def test_what_is_no_bus_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen(1)

        def answer() -> None:
            client, _ = other.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(json.dumps(["something", "else"]).encode() + b"\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeviceError, match=r"what answers is no virtual servo bus"):
            ask(path, "status")
        thread.join()


def test_each_ros_domain_has_its_own_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    assert default_socket() == tmp_path / "knuckle" / "servo_bus_7.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.delenv("ROS_DOMAIN_ID")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_socket() == tmp_path / "state" / "knuckle" / "servo_bus_0.sock"


def test_a_path_that_no_socket_can_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a socket's path has at most 107 bytes, this one \d+; a shorter folder"):
        ask(tmp_path / ("x" * 120), "status")
