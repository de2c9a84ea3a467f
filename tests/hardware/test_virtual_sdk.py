"""The virtual bus spoken to by the maker's own SDK, through a pseudo-terminal: what works, and the SDK's traps.

The SDK waits for an answer 34 ms of the clock at least. A loaded machine may take that by itself: here it waits longer.
"""

from __future__ import annotations

import os
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210
from knuckle.hardware.virtual.bus import BusConfig, VirtualBus
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.monitor import Envelope, ServoMonitor
from knuckle.hardware.virtual.pty_port import VirtualPort

sdk = pytest.importorskip("dynamixel_sdk")

IDS = [10, 11, 12, 20, 21, 22, 30, 31, 32]
HOME = [2048, 2570, 1331] * 3
"""home is (0, 0.8, -1.1) rad for each finger; 4096 pulses a turn, 2048 at zero."""


@dataclass
class Host:
    """The SDK's two handlers, and the bus at the other end."""

    port: sdk.PortHandler
    packets: sdk.Protocol2PacketHandler
    virtual: VirtualPort

    @property
    def bus(self) -> VirtualBus:
        return self.virtual.bus

    def group_read(self, address: int, size: int) -> sdk.GroupSyncRead:
        group = sdk.GroupSyncRead(self.port, self.packets, address, size)
        for id in IDS:
            assert group.addParam(id)
        return group

    def torque_on(self) -> None:
        for id in IDS:
            assert self.packets.write1ByteTxRx(self.port, id, 64, 1) == (0, 0)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Host]]:
    made: list[Host] = []
    monkeypatch.setattr(sdk.port_handler, "LATENCY_TIMER", 500)

    def make(rate: int = 1_000_000, link: Path | None = None, **config: int | float | bool) -> Host:
        now_ns = time.monotonic_ns()
        hand = dclaw()
        plant = LaggingJoints(hand, now_ns=now_ns)
        bus = VirtualBus(hand, plant, XM430_W210, config=BusConfig(**config), now_ns=now_ns)  # type: ignore[arg-type]
        virtual = VirtualPort(bus, link=link, monitor=ServoMonitor(Envelope.of_hand(hand), bus.truth()))
        virtual.__enter__()
        port = sdk.PortHandler(virtual.path)
        made.append(Host(port, sdk.PacketHandler(2.0), virtual))
        assert port.openPort() and port.setBaudRate(rate)
        return made[-1]

    yield make
    for host in made:
        host.port.closePort()
        host.virtual.close()


def test_each_servo_answers_a_ping_and_no_other_id_does(
    connect: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = connect()
    assert [host.packets.ping(host.port, id)[:2] for id in IDS] == [(1030, 0)] * len(IDS)
    monkeypatch.setattr(sdk.port_handler, "LATENCY_TIMER", 16)
    assert host.packets.ping(host.port, 99)[1] == sdk.COMM_RX_TIMEOUT


@pytest.mark.parametrize("baud", [0, 4_000_000])
def test_a_broadcast_ping_finds_them_all(connect: Callable[..., Host], baud: int) -> None:
    host = connect(4_000_000, baud=baud)
    found, result = host.packets.broadcastPing(host.port)
    assert result == sdk.COMM_SUCCESS and sorted(found) == IDS


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("baud", [0, 1_000_000])
def test_a_group_read_gives_every_servo_its_own_position(connect: Callable[..., Host], fast: bool, baud: int) -> None:
    host = connect(baud=baud)
    group = host.group_read(126, 10)
    assert (group.fastSyncRead() if fast else group.txRxPacket()) == sdk.COMM_SUCCESS
    assert [group.getData(id, 132, 4) for id in IDS] == HOME


@pytest.mark.parametrize("fast", [False, True])
def test_a_bulk_read_gives_each_servo_what_was_asked_of_it(connect: Callable[..., Host], fast: bool) -> None:
    host = connect()
    group = sdk.GroupBulkRead(host.port, host.packets)
    assert group.addParam(200 - 190, 132, 4) and group.addParam(21, 146, 1) and group.addParam(32, 144, 2)
    assert (group.fastBulkRead() if fast else group.txRxPacket()) == sdk.COMM_SUCCESS
    assert [group.getData(10, 132, 4), group.getData(21, 146, 1), group.getData(32, 144, 2)] == [2048, 25, 120]


def test_goals_written_to_the_group_are_where_the_joints_go(connect: Callable[..., Host]) -> None:
    host = connect()
    host.torque_on()
    goals = sdk.GroupSyncWrite(host.port, host.packets, 116, 4)
    wanted = [at + 10 * (n + 1) for n, at in enumerate(HOME)]
    for id, goal in zip(IDS, wanted, strict=True):
        assert goals.addParam(id, goal.to_bytes(4, "little"))
    assert goals.txPacket() == sdk.COMM_SUCCESS
    group = host.group_read(132, 4)
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        assert group.txRxPacket() == sdk.COMM_SUCCESS
        reached = [group.getData(id, 132, 4) for id in IDS]
        if all(abs(p - goal) <= 1 for p, goal in zip(reached, wanted, strict=True)):
            break
    else:
        pytest.fail(f"the joints stand at {reached}, not at {wanted}")
    assert host.virtual.ask("monitor")["unsafe_writes"] == 0


def test_a_bulk_write_reaches_each_servo(connect: Callable[..., Host]) -> None:
    host = connect()
    group = sdk.GroupBulkWrite(host.port, host.packets)
    assert group.addParam(10, 116, 4, list((2100).to_bytes(4, "little"))) and group.addParam(21, 65, 1, [1])
    assert group.txPacket() == sdk.COMM_SUCCESS
    assert host.packets.read4ByteTxRx(host.port, 10, 116) == (2100, 0, 0)
    assert host.packets.read1ByteTxRx(host.port, 21, 65) == (1, 0, 0)


def test_a_registered_write_waits_for_the_action(connect: Callable[..., Host]) -> None:
    host = connect()
    assert host.packets.regWriteTxRx(host.port, 10, 65, 1, [1]) == (0, 0)
    assert host.packets.read1ByteTxRx(host.port, 10, 65)[0] == 0
    assert host.packets.action(host.port, sdk.BROADCAST_ID) == sdk.COMM_SUCCESS
    assert host.packets.read1ByteTxRx(host.port, 10, 65)[0] == 1


def test_errors_of_a_servo_reach_the_sdk(connect: Callable[..., Host]) -> None:
    host = connect()
    assert host.packets.write4ByteTxRx(host.port, 10, 116, 9_999) == (0, 6)
    assert host.packets.write1ByteTxRx(host.port, 10, 146, 1) == (0, 7)
    assert host.packets.factoryReset(host.port, 10, 0xFF) == (0, 1)
    host.torque_on()
    assert host.packets.write1ByteTxRx(host.port, 10, 11, 5) == (0, 7)
    host.virtual.ask("fault servo:10 overload")
    assert host.packets.read1ByteTxRx(host.port, 10, 70) == (0x20, 0, 0x80)
    assert host.packets.reboot(host.port, 10)[0] == sdk.COMM_SUCCESS
    assert host.packets.read1ByteTxRx(host.port, 10, 64) == (0, 0, 0)


def test_trap_one_silent_servo_and_the_sdk_has_nothing_of_any_but_zeros(
    connect: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = connect()
    host.virtual.ask("fault servo:20 silent")
    monkeypatch.setattr(sdk.port_handler, "LATENCY_TIMER", 16)
    group = host.group_read(132, 4)
    assert group.txRxPacket() in (sdk.COMM_RX_TIMEOUT, sdk.COMM_RX_CORRUPT)
    assert not any(group.isAvailable(id, 132, 4) for id in IDS)
    assert [group.getData(id, 132, 4) for id in IDS] == [0] * 9


def test_trap_a_negative_value_comes_as_a_large_one(connect: Callable[..., Host]) -> None:
    host = connect()
    assert host.packets.write2ByteTxRx(host.port, 10, 102, -5 & 0xFFFF) == (0, 0)
    assert host.packets.read2ByteTxRx(host.port, 10, 102) == (0xFFFB, 0, 0)
    assert host.bus.servo(10).value("goal_current") == -5


def test_trap_a_group_read_says_nothing_of_a_servo_in_error(connect: Callable[..., Host]) -> None:
    host = connect()
    host.virtual.ask("fault servo:20 overload")
    group = host.group_read(132, 4)
    assert group.txRxPacket() == sdk.COMM_SUCCESS
    assert [group.getData(id, 132, 4) for id in IDS] == HOME
    assert host.packets.read1ByteTxRx(host.port, 20, 70)[0] == 0x20


def test_trap_a_goal_that_is_refused_in_a_group_write_is_a_success(connect: Callable[..., Host]) -> None:
    host = connect()
    goals = sdk.GroupSyncWrite(host.port, host.packets, 116, 4)
    assert goals.addParam(10, (9_999).to_bytes(4, "little"))
    assert goals.txPacket() == sdk.COMM_SUCCESS
    assert host.packets.read4ByteTxRx(host.port, 10, 116) == (2048, 0, 0)


def test_a_wrong_rate_is_silence(connect: Callable[..., Host], monkeypatch: pytest.MonkeyPatch) -> None:
    host = connect(57_600, baud=1_000_000)
    monkeypatch.setattr(sdk.port_handler, "LATENCY_TIMER", 16)
    assert host.packets.ping(host.port, 10)[1] == sdk.COMM_RX_TIMEOUT
    monkeypatch.setattr(sdk.port_handler, "LATENCY_TIMER", 500)
    assert host.port.setBaudRate(1_000_000)
    assert host.packets.ping(host.port, 10)[1] == sdk.COMM_SUCCESS


def test_two_servos_with_one_id_are_found_as_one_whose_readings_are_corrupt(
    connect: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = connect()
    host.virtual.ask("fault servo:11 duplicate")
    assert host.packets.ping(host.port, 11)[:2] == (1030, sdk.COMM_SUCCESS)
    monkeypatch.setattr(sdk.port_handler, "LATENCY_TIMER", 16)
    assert host.packets.read4ByteTxRx(host.port, 11, 132)[1] != sdk.COMM_SUCCESS


def test_a_port_that_is_unplugged_raises_and_one_that_is_back_answers(
    connect: Callable[..., Host], tmp_path: Path
) -> None:
    host = connect(link=tmp_path / "port")
    host.virtual.ask("fault bus unplug")
    deadline = time.monotonic() + 20.0
    while os.path.lexists(tmp_path / "port"):
        assert time.monotonic() < deadline
    # Where it fails depends on when: emptying the buffer (no OSError), writing, or reading what cannot be there.
    with pytest.raises((termios.error, OSError)):
        host.packets.ping(host.port, 10)
    host.port.is_using = False
    host.virtual.ask("clear")
    while not os.path.lexists(tmp_path / "port"):
        assert time.monotonic() < deadline
    host.port.closePort()
    assert host.port.openPort() and host.packets.ping(host.port, 10)[1] == sdk.COMM_SUCCESS


def test_the_watchdog_stops_a_hand_whose_host_is_gone(connect: Callable[..., Host]) -> None:
    host = connect()
    host.torque_on()
    for id in IDS:
        assert host.packets.write1ByteTxRx(host.port, id, 98, 2) == (0, 0)
    deadline = time.monotonic() + 20.0
    while any(servo.value("bus_watchdog") != -1 for servo in host.bus.servos):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert host.packets.write4ByteTxRx(host.port, 10, 116, 2100) == (0, 4)
    assert host.packets.write1ByteTxRx(host.port, 10, 98, 0) == (0, 0)
    assert host.packets.write4ByteTxRx(host.port, 10, 116, 2100) == (0, 0)
