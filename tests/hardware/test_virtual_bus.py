"""The virtual bus in virtual time: whose joint is whose, what is answered and when, and what is never answered."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.virtual.bus import BusConfig, Reply, VirtualBus
from knuckle.hardware.virtual.heat import HeatConfig
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.protocol2 import BROADCAST, Instruction, Packet, PacketReader, crc16

MS = 1_000_000
IDS = [10, 11, 12, 20, 21, 22, 30, 31, 32]


class Host:
    """Talks to a bus in virtual time."""

    def __init__(self, config: BusConfig | None = None, hand: HandSpec | None = None, heat: HeatConfig | None = None):
        self.hand = hand or dclaw()
        self.plant = LaggingJoints(self.hand)
        self.bus = VirtualBus(self.hand, self.plant, XM430_W210, config=config, heat=heat)
        self.now_ns = 0

    def send(self, id: int, instruction: int, parameters: bytes = b"", *, rate: int = 0) -> list[Reply]:
        return self.bus.receive(Packet(id, instruction, parameters).encode(), self.now_ns, rate=rate)

    def ask(self, id: int, instruction: int, parameters: bytes = b"") -> list[tuple[int, int, bytes]]:
        """``(id, error, data)`` of each answer."""
        raw = b"".join(reply.data for reply in self.send(id, instruction, parameters))
        return [(p.id, p.parameters[0], p.parameters[1:]) for p in PacketReader().feed(raw) if p.intact]

    def put(self, id: int, name: str, value: int) -> int:
        """Write a register, and the error that comes back."""
        register = XM430_W210.register(name)
        address = register.address.to_bytes(2, "little")
        ((_, error, _),) = self.ask(id, Instruction.WRITE, address + register.encode(value))
        return error

    def get(self, id: int, name: str) -> int:
        register = XM430_W210.register(name)
        parameters = register.address.to_bytes(2, "little") + register.size.to_bytes(2, "little")
        ((_, _, data),) = self.ask(id, Instruction.READ, parameters)
        return register.decode(data)

    def wait(self, seconds: float, step_s: float = 0.005) -> None:
        for _ in range(math.ceil(seconds / step_s)):
            self.now_ns += round(step_s * 1e9)
            self.bus.advance(self.now_ns)


def sync_read(address: int, size: int, ids: list[int] = IDS) -> bytes:
    return address.to_bytes(2, "little") + size.to_bytes(2, "little") + bytes(ids)


def test_a_servo_turns_its_own_joint_by_its_sign_and_offset() -> None:
    hand = dclaw()
    joints = list(hand.joints)
    joints[1] = dataclasses.replace(joints[1], sign=-1, servo_offset=0.25)
    host = Host(hand=dataclasses.replace(hand, joints=tuple(joints)))
    # home of the second joint is 0.8 rad: the horn stands at 0.25 - 0.8
    assert host.get(11, "present_position") == 2048 + round((0.25 - 0.8) * 4096 / (2 * math.pi))
    host.put(11, "torque_enable", 1)
    host.put(11, "goal_position", 2048)
    host.wait(0.5)
    q, _, _ = host.plant.joint_state()
    assert q[1] == pytest.approx(0.25, abs=1e-3)
    assert np.delete(q, 1) == pytest.approx(np.delete(host.hand.home, 1))


def test_a_servo_that_is_asked_before_any_time_has_passed_knows_its_voltage_temperature_and_place() -> None:
    hand = dclaw()
    bus = VirtualBus(hand, LaggingJoints(hand, now_ns=0), XM430_W210, now_ns=0)
    for servo in bus.servos:
        assert servo.value("present_input_voltage") == 120 and servo.value("present_temperature") == 25
        assert servo.value("hardware_error_status") == 0
    assert bus.servos[1].value("present_position") == 2570


def test_a_joint_moves_only_while_its_servo_has_torque() -> None:
    host = Host()
    for id in (10, 20):
        host.put(id, "goal_position", 2300)
    host.put(20, "torque_enable", 1)
    host.wait(0.5)
    assert host.get(10, "present_position") == 2048
    assert host.get(20, "present_position") == pytest.approx(2300, abs=1)


def test_a_group_read_answers_in_the_order_asked_for() -> None:
    host = Host()
    order = [32, 10, 21]
    assert [id for id, _, _ in host.ask(BROADCAST, Instruction.SYNC_READ, sync_read(132, 4, order))] == order
    bulk = b"".join(bytes([id, 132, 0, 4, 0]) for id in order)
    assert [id for id, _, _ in host.ask(BROADCAST, Instruction.BULK_READ, bulk)] == order


@pytest.mark.parametrize("bulk", [False, True])
def test_a_fast_read_is_one_packet_with_a_crc_behind_each_servo(bulk: bool) -> None:
    host = Host()
    asked = b"".join(bytes([id, 132, 0, 4, 0]) for id in IDS) if bulk else sync_read(132, 4)
    instruction = Instruction.FAST_BULK_READ if bulk else Instruction.FAST_SYNC_READ
    (reply,) = host.send(BROADCAST, instruction, asked)
    data = reply.data
    assert data[4] == BROADCAST and data[7] == 0x55 and len(data) == 7 + int.from_bytes(data[5:7], "little")
    for n, id in enumerate(IDS):
        start = 8 + 8 * n
        assert (data[start], data[start + 1]) == (0, id)
        assert int.from_bytes(data[start + 2 : start + 6], "little") == host.get(id, "present_position")
        assert int.from_bytes(data[start + 6 : start + 8], "little") == crc16(data[: start + 6])


def test_a_header_inside_a_reading_is_stuffed_but_for_a_fast_read() -> None:
    host = Host()
    servo = host.bus.servo(11)
    servo.shown = {"present_velocity": -1, "present_position": 0x7FD}  # ff ff ff ff fd 07 00 00
    (plain,) = host.send(11, Instruction.READ, bytes([128, 0, 8, 0]))
    assert plain.data[9:18].hex(" ") == "ff ff ff ff fd fd 07 00 00"
    (fast,) = host.send(BROADCAST, Instruction.FAST_SYNC_READ, sync_read(128, 8, [11]))
    assert fast.data[10:18].hex(" ") == "ff ff ff ff fd 07 00 00" and len(fast.data) == 20


def test_a_group_read_of_what_is_not_there_is_answered_with_the_error_by_each() -> None:
    host = Host()
    answers = host.ask(BROADCAST, Instruction.SYNC_READ, sync_read(240, 4, [10, 11]))
    assert answers == [(10, 0, bytes(4)), (11, 0, bytes(4))]  # indirect data
    assert host.ask(BROADCAST, Instruction.SYNC_READ, sync_read(700, 4, [10, 11])) == [(10, 7, b""), (11, 7, b"")]
    assert host.send(BROADCAST, Instruction.SYNC_WRITE, bytes([116, 0])) == []


def test_group_writes_reach_each_servo_and_are_never_answered() -> None:
    host = Host()
    goals = b"".join(bytes([id]) + (2000 + id).to_bytes(4, "little") for id in IDS)
    assert host.send(BROADCAST, Instruction.SYNC_WRITE, bytes([116, 0, 4, 0]) + goals) == []
    assert [host.get(id, "goal_position") for id in IDS] == [2000 + id for id in IDS]
    bulk = bytes([10, 116, 0, 4, 0]) + (2100).to_bytes(4, "little") + bytes([21, 64, 0, 1, 0, 1])
    assert host.send(BROADCAST, Instruction.BULK_WRITE, bulk) == []
    assert (host.get(10, "goal_position"), host.get(21, "torque_enable")) == (2100, 1)


def test_a_goal_that_a_group_write_may_not_set_is_left_out_without_a_word() -> None:
    host = Host()
    goals = bytes([10]) + (9_999).to_bytes(4, "little") + bytes([11]) + (2_222).to_bytes(4, "little")
    assert host.send(BROADCAST, Instruction.SYNC_WRITE, bytes([116, 0, 4, 0]) + goals) == []
    assert (host.get(10, "goal_position"), host.get(11, "goal_position")) == (2048, 2222)


def test_what_is_asked_of_all_at_once_is_answered_only_for_a_ping() -> None:
    host = Host()
    assert [id for id, _, _ in host.ask(BROADCAST, Instruction.PING)] == IDS
    assert host.send(BROADCAST, Instruction.WRITE, bytes([65, 0, 1])) == []
    assert [host.get(id, "led") for id in IDS] == [1] * 9
    assert host.send(BROADCAST, Instruction.READ, bytes([132, 0, 4, 0])) == []


@pytest.mark.parametrize(
    ("instruction", "parameters", "error"),
    [
        (Instruction.FACTORY_RESET, b"\xff", 1),
        (Instruction.CLEAR, b"\x01DXL\x22", 1),
        (0x77, b"", 2),
        (Instruction.ACTION, b"", 2),
        (Instruction.WRITE, bytes([80, 0, 0, 0xFF]), 4),
        (Instruction.WRITE, bytes([116, 0, 0, 8]), 5),
        (Instruction.WRITE, bytes([116, 0, 0, 0, 1, 0]), 6),
        (Instruction.WRITE, bytes([132, 0, 0, 0, 0, 0]), 7),
        (Instruction.READ, bytes([240, 3, 4, 0]), 7),
        (Instruction.READ, bytes([132, 0]), 5),
    ],
)
def test_what_cannot_be_done_is_answered_with_its_error(instruction: int, parameters: bytes, error: int) -> None:
    assert Host().ask(11, instruction, parameters) == [(11, error, b"")]


def test_a_packet_with_a_wrong_crc_is_answered_as_such_and_not_carried_out() -> None:
    host = Host()
    wire = bytearray(Packet(11, Instruction.WRITE, bytes([65, 0, 1])).encode())
    wire[-1] ^= 1
    (reply,) = host.bus.receive(bytes(wire), 0)
    (answer,) = PacketReader().feed(reply.data)
    assert (answer.id, answer.parameters) == (11, b"\x03")
    assert host.get(11, "led") == 0


def test_a_packet_that_stops_midway_is_given_up_after_a_silence() -> None:
    host = Host()
    packet = Packet(11, Instruction.PING).encode()
    assert host.bus.receive(packet[:6], 0) == []
    assert len(host.bus.receive(packet[6:], 10 * MS)) == 1
    torn = Packet(11, Instruction.WRITE, bytes([116, 0, 0, 8, 0, 0])).encode()[:8]
    assert host.bus.receive(torn, 20 * MS) == []
    (reply,) = host.bus.receive(packet, 60 * MS)
    assert PacketReader().feed(reply.data)[0].parameters[1:3] == (1030).to_bytes(2, "little")


def test_how_much_is_answered_follows_the_status_return_level() -> None:
    host = Host()
    host.send(11, Instruction.WRITE, bytes([68, 0, 1]))
    led, position = bytes([65, 0, 1]), bytes([132, 0, 4, 0])
    asked = [(Instruction.PING, b""), (Instruction.READ, position), (Instruction.WRITE, led)]
    assert [len(host.ask(11, i, p)) for i, p in asked] == [1, 1, 0]
    assert host.send(11, Instruction.WRITE, bytes([68, 0, 0])) == []
    assert [len(host.ask(11, i, p)) for i, p in asked] == [1, 0, 0]


def test_at_a_rate_bytes_take_ten_bits_each_and_answers_wait_for_the_one_before() -> None:
    host = Host(BusConfig(baud=1_000_000, latency_us=50.0))
    replies = host.send(BROADCAST, Instruction.SYNC_READ, sync_read(126, 10))
    # 14 + 9 bytes of question, then nine answers of 21 bytes, each after 50 us
    assert [reply.at_ns for reply in replies] == [230_000 + n * (50_000 + 210_000) for n in range(1, 10)]
    # a packet that is sent meanwhile waits for the wire
    (late,) = host.send(10, Instruction.PING)
    assert late.at_ns == replies[-1].at_ns + 100_000 + 50_000 + 140_000


def test_the_return_delay_time_is_kept_where_it_is_to_be() -> None:
    host = Host(BusConfig(baud=1_000_000, return_delay=True))
    (reply,) = host.send(11, Instruction.PING)
    assert reply.at_ns == 100_000 + 500_000 + 140_000  # 250 units of 2 us
    host.now_ns = 10 * MS
    host.put(11, "return_delay_time", 0)
    host.now_ns = 20 * MS
    (reply,) = host.send(11, Instruction.PING)
    assert reply.at_ns == 20 * MS + 240_000


def test_answers_to_a_broadcast_ping_keep_to_their_ids_slots() -> None:
    host = Host(BusConfig(baud=57_600))
    replies = host.send(BROADCAST, Instruction.PING)
    assert [(reply.at_ns - replies[0].at_ns) // (3 * MS) for reply in replies] == [id - 10 for id in IDS]


def test_a_host_at_another_rate_is_not_heard_by_anyone() -> None:
    host = Host(BusConfig(baud=1_000_000))
    assert host.send(11, Instruction.PING, rate=57_600) == []
    assert len(host.send(11, Instruction.PING, rate=1_000_000)) == 1
    host.put(11, "baud_rate", 6)
    assert host.send(11, Instruction.PING, rate=1_000_000) == []
    assert len(host.send(11, Instruction.PING, rate=4_000_000)) == 1


def test_a_rate_that_no_servo_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"baud: 250000 is no rate of a servo; 0 or 9600, 57600"):
        Host(BusConfig(baud=250_000))


def test_the_bus_watchdog_holds_the_joints_where_they_are_when_the_host_falls_silent() -> None:
    host = Host()
    host.plant = host.bus.plant = LaggingJoints(host.hand, lag_s=1.0)
    for id in IDS:
        host.put(id, "torque_enable", 1)
        host.put(id, "bus_watchdog", 5)
    host.put(10, "goal_position", 2700)
    host.wait(0.09)
    moving = host.bus.servo(10).value("present_velocity")
    host.wait(0.03)
    stopped = host.plant.joint_state()[0]
    host.wait(1.0)
    assert moving > 0 and host.plant.joint_state()[0] == pytest.approx(stopped, abs=2e-3)
    assert host.get(10, "bus_watchdog") == -1 and host.get(10, "torque_enable") == 1
    assert host.put(10, "goal_position", 2700) == 4
    host.put(10, "bus_watchdog", 0)
    assert host.put(10, "goal_position", 2700) == 0


def test_time_in_which_the_bus_was_not_served_is_no_silence() -> None:
    host = Host()
    host.put(10, "torque_enable", 1)
    host.put(10, "bus_watchdog", 5)
    for ms, excused in ((300, 220), (400, 0)):
        host.now_ns = ms * MS
        host.bus.excuse(excused * MS)
        host.bus.advance(host.now_ns)
        assert host.bus.servo(10).value("bus_watchdog") == (5 if excused else -1)


def test_a_servo_that_is_pushed_too_hard_for_too_long_switches_off_and_says_so() -> None:
    host = Host(heat=HeatConfig(load_s=0.5))
    host.put(11, "torque_enable", 1)
    host.plant.load[1] = 2.6  # of 3.0 N m that stall it
    host.wait(1.0)
    assert host.get(11, "hardware_error_status") == 0
    assert host.get(11, "present_current") == pytest.approx(2.6 / (3.0 / 2.3) / 2.69e-3, abs=1)
    host.wait(2.0)
    assert host.get(11, "hardware_error_status") == 0x20 and host.get(11, "torque_enable") == 0
    assert host.put(11, "led", 1) == 0x80  # the alert bit, in every answer
    assert host.put(11, "torque_enable", 1) == 0x81
    assert host.ask(11, Instruction.REBOOT) == [(11, 0, b"")]
    host.plant.load[1] = 0.0
    assert host.put(11, "torque_enable", 1) == 0


def test_a_servo_that_works_gets_warm_and_switches_off_at_its_limit() -> None:
    host = Host(heat=HeatConfig(heat_s=2.0, overload=2.0))
    host.put(11, "torque_enable", 1)
    host.plant.load[1] = 2.5
    host.wait(1.0)
    warm = host.get(11, "present_temperature")
    assert 35 < warm < 80
    host.wait(9.0, step_s=0.02)
    assert host.get(11, "hardware_error_status") == 0x04 and host.get(11, "torque_enable") == 0
    host.wait(20.0, step_s=0.05)
    assert host.get(11, "present_temperature") == 25


def test_the_current_limit_reaches_the_joint() -> None:
    host = Host()
    host.put(11, "current_limit", 100)
    host.put(11, "torque_enable", 1)
    host.plant.load[1] = 2.0
    host.wait(0.1)
    assert host.get(11, "present_current") == 100


def test_taps_see_what_reaches_the_servos_before_it_acts() -> None:
    host = Host()
    seen = []
    host.bus.taps.append(lambda data, now_ns: seen.append((data, now_ns, host.bus.servo(11).torque_on)))
    host.now_ns = 7 * MS
    packet = Packet(11, Instruction.WRITE, bytes([64, 0, 1])).encode()
    host.bus.receive(packet, host.now_ns)
    assert seen == [(packet, 7 * MS, False)]
    assert host.bus.servo(11).torque_on
