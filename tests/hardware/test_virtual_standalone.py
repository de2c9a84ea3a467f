"""A virtual hand in a process of its own: it outlives drivers, ends with who started it, and is sixteen servos too."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from knuckle.hardware.virtual.control_socket import ask

sdk = pytest.importorskip("dynamixel_sdk")
Hand = tuple[subprocess.Popen[str], dict[str, Any]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Hand]]:
    made: list[subprocess.Popen[str]] = []

    def make(*options: str) -> Hand:
        words = [sys.executable, "-m", "knuckle.hardware.virtual.standalone", "--socket", str(tmp_path / "s"), *options]
        child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        made.append(child)
        assert child.stdout is not None
        line = child.stdout.readline()
        return child, json.loads(line) if line else {}

    yield make
    for child in made:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def test_sixteen_servos_of_a_leap_hand_move_with_bounded_current(
    start: Callable[..., Hand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk.port_handler, "LATENCY_TIMER", 1000)
    _, where = start("--hand", "leap", "--servo", "XC330-M288", "--baud", "4000000")
    ids = [servo["id"] for servo in ask(tmp_path / "s", "status")["servos"]]
    homes = [servo["position"] for servo in ask(tmp_path / "s", "status")["servos"]]
    assert sorted(ids) == list(range(16))
    port, packets = sdk.PortHandler(where["port"]), sdk.PacketHandler(2.0)
    assert port.openPort() and port.setBaudRate(4_000_000)
    for id in ids:
        assert packets.write1ByteTxRx(port, id, 11, 5) == (0, 0)
        assert packets.write2ByteTxRx(port, id, 102, 350) == (0, 0)
        assert packets.write1ByteTxRx(port, id, 64, 1) == (0, 0)
    goals, group = sdk.GroupSyncWrite(port, packets, 116, 4), sdk.GroupSyncRead(port, packets, 126, 10)
    for id, home in zip(ids, homes, strict=True):
        assert goals.addParam(id, (home + 20).to_bytes(4, "little")) and group.addParam(id)
    assert goals.txPacket() == sdk.COMM_SUCCESS
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        assert group.fastSyncRead() == sdk.COMM_SUCCESS
        off = [group.getData(id, 132, 4) - home - 20 for id, home in zip(ids, homes, strict=True)]
        if max(map(abs, off)) <= 1:
            break
    else:
        pytest.fail(f"off by {off} pulses")
    port.closePort()
    assert ask(tmp_path / "s", "monitor")["unsafe_writes"] == 0


def test_it_goes_on_without_a_driver_and_ends_when_who_started_it_is_gone(
    start: Callable[..., Hand], tmp_path: Path
) -> None:
    child, where = start("--link", str(tmp_path / "port"))
    assert where["port"] == str(tmp_path / "port") and (tmp_path / "port").exists()
    for _ in range(2):
        port = sdk.PortHandler(where["port"])
        assert port.openPort()
        port.closePort()
    assert ask(tmp_path / "s", "status")["virtual"] is True
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=60) == 0
    assert not (tmp_path / "s").exists() and not (tmp_path / "port").is_symlink()


def test_a_signal_ends_it_cleanly(start: Callable[..., Hand], tmp_path: Path) -> None:
    child, _ = start()
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == 0 and not (tmp_path / "s").exists()


def test_bad_options_and_a_socket_in_use_are_named(start: Callable[..., Hand]) -> None:
    child, _ = start("--servo", "XM999")
    _, err = child.communicate(timeout=60)
    assert child.returncode == 2 and "unknown servo model 'XM999'" in err and err.count("\n") == 1
    start()
    child, _ = start()
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1 and "another virtual bus is served there" in err and err.count("\n") == 1
