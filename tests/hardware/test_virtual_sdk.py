"""The virtual bus spoken to by the maker's own SDK, through a pseudo-terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210
from knuckle.hardware.virtual.bus import VirtualBus
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.pty_port import VirtualPort

sdk = pytest.importorskip("dynamixel_sdk")

IDS = [10, 11, 12, 20, 21, 22, 30, 31, 32]


@dataclass
class Host:
    """The SDK's two handlers, and the bus at the other end."""

    port: sdk.PortHandler
    packets: sdk.Protocol2PacketHandler
    bus: VirtualBus

    def group_read(self, address: int, size: int) -> sdk.GroupSyncRead:
        group = sdk.GroupSyncRead(self.port, self.packets, address, size)
        for id in IDS:
            assert group.addParam(id)
        return group


@pytest.fixture
def host() -> Iterator[Host]:
    now_ns = time.monotonic_ns()
    hand = dclaw()
    bus = VirtualBus(hand, LaggingJoints(hand, now_ns=now_ns), XM430_W210, now_ns=now_ns)
    with VirtualPort(bus) as virtual:
        port = sdk.PortHandler(virtual.path)
        assert port.openPort() and port.setBaudRate(4_000_000)
        yield Host(port, sdk.PacketHandler(2.0), bus)
        port.closePort()


def test_each_servo_answers_a_ping_and_no_other_id_does(host: Host) -> None:
    assert [host.packets.ping(host.port, id)[:2] for id in IDS] == [(1030, 0)] * len(IDS)
    assert host.packets.ping(host.port, 99)[1] == sdk.COMM_RX_TIMEOUT


def test_a_broadcast_ping_finds_them_all(host: Host) -> None:
    found, result = host.packets.broadcastPing(host.port)
    assert result == sdk.COMM_SUCCESS and sorted(found) == IDS


@pytest.mark.parametrize("fast", [False, True])
def test_a_group_read_gives_every_servo_its_own_position(host: Host, fast: bool) -> None:
    group = host.group_read(126, 10)
    assert (group.fastSyncRead() if fast else group.txRxPacket()) == sdk.COMM_SUCCESS
    # home is (0, 0.8, -1.1) for each finger; 4096 pulses a turn, 2048 at zero
    assert [group.getData(id, 132, 4) for id in IDS] == [2048, 2570, 1331] * 3


def test_goals_written_to_the_group_are_where_the_joints_go(host: Host) -> None:
    for id in IDS:
        assert host.packets.write1ByteTxRx(host.port, id, 64, 1) == (0, 0)
    goals = sdk.GroupSyncWrite(host.port, host.packets, 116, 4)
    for n, id in enumerate(IDS):
        assert goals.addParam(id, (2000 + 10 * n).to_bytes(4, "little"))
    assert goals.txPacket() == sdk.COMM_SUCCESS
    group = host.group_read(132, 4)
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        assert group.txRxPacket() == sdk.COMM_SUCCESS
        reached = [group.getData(id, 132, 4) for id in IDS]
        if all(abs(p - 2000 - 10 * n) <= 1 for n, p in enumerate(reached)):
            return
    pytest.fail(f"the joints stand at {reached}")


def test_a_reboot_turns_torque_off(host: Host) -> None:
    host.packets.write1ByteTxRx(host.port, 11, 64, 1)
    assert host.packets.reboot(host.port, 11) == (0, 0)
    assert host.packets.read1ByteTxRx(host.port, 11, 64) == (0, 0, 0)
