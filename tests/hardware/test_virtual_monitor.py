"""The monitor of the servos' bytes: what it lets pass, what it blames, and that it reads packets as the servos do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210
from knuckle.hardware.virtual.bus import VirtualBus
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.monitor import GOAL_POSITION, TORQUE_ENABLE, Bounds, Envelope, ServoMonitor, Truth
from knuckle.hardware.virtual.monitor_decoder import Decoder, RawWrite
from knuckle.hardware.virtual.protocol2 import BROADCAST, Instruction, Packet, PacketReader

MS = 1_000_000
BYTES = st.one_of(st.binary(max_size=30), st.lists(st.sampled_from([0xFF, 0xFD, 0x00, 0x03]), max_size=30).map(bytes))


class Watched:
    """A bus that a monitor watches, in virtual time: 0.2 rad a write and 5 rad/s are allowed, 350 units of current."""

    def __init__(self) -> None:
        hand = dclaw()
        self.plant = LaggingJoints(hand)
        self.bus = VirtualBus(hand, self.plant, XM430_W210)
        envelope = Envelope.of_hand(hand, reach=1.0, step=0.2, speed=5.0, current=350)
        self.monitor = ServoMonitor(envelope, self.bus.truth())
        self.bus.taps.append(self.monitor.observe)
        self.now_ns = 0

    def write(self, id: int, address: int, data: bytes, instruction: int = Instruction.WRITE) -> None:
        self.bus.receive(Packet(id, instruction, address.to_bytes(2, "little") + data).encode(), self.now_ns)

    def goal(self, value: int, id: int = 10) -> None:
        self.write(id, 116, value.to_bytes(4, "little", signed=True))

    def torque(self, on: int, id: int = 10) -> None:
        self.write(id, 64, bytes([on]))

    def wait(self, ms: int) -> None:
        for _ in range(ms // 5):
            self.now_ns += 5 * MS
            self.bus.advance(self.now_ns)

    @property
    def blamed(self) -> dict[str, int]:
        return dict(self.monitor.reasons)


def test_an_ordinary_motion_is_no_violation() -> None:
    w = Watched()
    for id, at in ((10, 2048), (11, 2570), (12, 1331)):
        w.goal(at, id)
        w.torque(1, id)
    for n in range(50):
        w.goal(2048 + round(200 * math.sin(n / 10)))
        w.wait(10)
    w.torque(0)
    assert w.blamed == {} and w.monitor.unsafe_writes == 0
    assert len(w.monitor.writes(GOAL_POSITION)) == 53 and len(w.monitor.writes(TORQUE_ENABLE)) == 4


def test_a_goal_beyond_the_joint_is_blamed_even_without_torque() -> None:
    w = Watched()
    w.goal(2048 + 900)  # 1.38 rad, the joint ends at 1.35
    assert w.blamed == {"position_limit": 1}
    w.goal(-1)
    w.goal(2**31 - 1)
    assert w.blamed == {"position_limit": 3}


def test_a_goal_that_jumps_is_blamed_only_where_torque_would_follow_it() -> None:
    w = Watched()
    w.goal(2300)
    w.goal(2048)
    assert w.blamed == {}
    w.torque(1)
    w.wait(20)
    w.goal(2048 + 140)  # 0.21 rad
    assert w.blamed == {"step": 1}


def test_goals_from_before_torque_count_for_no_speed() -> None:
    w = Watched()
    w.goal(2900)
    w.goal(2048)
    w.torque(1)
    w.goal(2050)
    assert w.blamed == {}


def test_a_goal_is_read_without_its_stuffing() -> None:
    w = Watched()
    w.write(10, 102, bytes([0x64, 0xFF, 0xFF, 0xFD, 0xFF, 0xFF]) + bytes(8) + (2100).to_bytes(4, "little"))
    assert [x.value for x in w.monitor.writes(GOAL_POSITION)] == [2100]


def test_goals_that_run_away_faster_than_allowed_are_blamed_though_each_step_is_small() -> None:
    w = Watched()
    w.torque(1)
    for n in range(40):
        w.wait(5)
        w.goal(2048 - 60 * (n % 2))  # to and fro: it ends where it began
    assert w.blamed == {}
    for n in range(4):
        w.goal(2048 + 120 * n)  # 0.55 rad in no time
    assert set(w.blamed) == {"speed"}


def test_a_goal_far_from_where_the_joint_really_is_is_blamed() -> None:
    w = Watched()
    w.bus.plant = LaggingJoints(w.bus.hand, lag_s=1000.0)
    w.torque(1)
    for n in range(1, 8):
        w.wait(100)
        w.goal(2048 + 100 * n)
    assert set(w.blamed) == {"reach"}


def test_torque_that_goes_on_away_from_the_goal_is_blamed() -> None:
    w = Watched()
    w.goal(2148)
    w.torque(1)
    assert w.blamed == {"torque_jump": 1}
    w.torque(1)  # it is on already
    assert w.blamed == {"torque_jump": 1}


def test_too_much_current_is_blamed() -> None:
    w = Watched()
    w.write(10, 102, (350).to_bytes(2, "little"))
    w.write(10, 102, (-351).to_bytes(2, "little", signed=True))
    assert w.blamed == {"current_limit": 1}


def test_while_the_hand_is_to_hold_no_goal_may_move_after_the_time_it_was_given() -> None:
    w = Watched()
    w.torque(1)
    w.monitor.announce("hold", w.now_ns, grace_s=0.25)
    for n in range(20):
        w.wait(10)
        w.goal(2048 + 5 * n)
    assert w.blamed == {}
    w.wait(100)
    w.goal(2048 + 5 * 19 + 2)
    assert w.blamed == {}
    w.goal(2048 + 5 * 19 + 4)
    assert w.blamed == {"moved_in_hold": 1}
    w.monitor.announce("free", w.now_ns)
    w.goal(2048 + 5 * 19 + 40)
    assert w.blamed == {"moved_in_hold": 1}


def test_while_the_hand_is_stopped_torque_may_not_go_on() -> None:
    w = Watched()
    w.monitor.announce("stop", w.now_ns)
    w.torque(0)
    assert w.blamed == {}
    w.torque(1)
    assert w.blamed == {"torque_in_stop": 1}


def test_what_cannot_be_judged_is_blamed() -> None:
    w = Watched()
    w.write(10, 116, b"\x00\x08")
    assert w.blamed == {"partial": 1}
    w.write(10, 224, b"\x00")
    assert w.blamed == {"partial": 1, "indirect": 1}
    w.goal(2048, id=77)
    assert w.blamed == {"partial": 1, "indirect": 1, "foreign_servo": 1}


def test_goals_hide_in_no_instruction() -> None:
    far = (4000).to_bytes(4, "little")
    for instruction, body in [
        (Instruction.WRITE, bytes([112, 0, 0, 0, 0, 0]) + far),
        (Instruction.REG_WRITE, bytes([116, 0]) + far),
        (Instruction.SYNC_WRITE, bytes([116, 0, 4, 0, 10]) + far),
        (Instruction.BULK_WRITE, bytes([10, 116, 0, 4, 0]) + far),
    ]:
        w = Watched()
        id = 10 if instruction in (Instruction.WRITE, Instruction.REG_WRITE) else BROADCAST
        w.bus.receive(Packet(id, instruction, body).encode(), 0)
        assert w.blamed == {"position_limit": 1}, instruction
    w = Watched()
    w.write(BROADCAST, 116, far)
    assert w.blamed == {"position_limit": 9}


def test_a_packet_that_no_servo_would_take_is_not_blamed() -> None:
    w = Watched()
    wire = bytearray(Packet(10, Instruction.WRITE, bytes([116, 0]) + (4000).to_bytes(4, "little")).encode())
    wire[10] ^= 1
    w.bus.receive(bytes(wire), 0)
    assert w.blamed == {}


def test_times_of_writes_can_be_asked_for() -> None:
    w = Watched()
    w.torque(1)
    for value in (2050, 2060, 2060, 2060):
        w.wait(10)
        w.goal(value)
    assert w.monitor.last_goal_ns() == 40 * MS
    assert w.monitor.last_goal_ns(before_ns=35 * MS) == 30 * MS
    assert w.monitor.last_moving_goal_ns() == 20 * MS
    assert w.monitor.last_moving_goal_ns(since_ns=25 * MS) is None
    assert [x.value for x in w.monitor.writes(GOAL_POSITION, since_ns=15 * MS, until_ns=30 * MS)] == [2060, 2060]


def test_it_keeps_so_many_writes_and_counts_them_all() -> None:
    w = Watched()
    small = ServoMonitor(w.monitor.envelope, w.bus.truth(), keep=3)
    w.bus.taps.append(small.observe)
    for n in range(5):
        w.goal(4000 + n)
    assert [x.value for x in small.writes()] == [4002, 4003, 4004] and small.unsafe_writes == 5


def test_a_violation_says_which_servo_and_why() -> None:
    w = Watched()
    w.goal(4000, id=21)
    (violation,) = w.monitor.violations()
    assert (violation.write.servo, violation.write.value, violation.reason) == (21, 4000, "position_limit")
    assert w.monitor.summary()["last_violation"].startswith("servo 21: position_limit, 4000 is not in")


def test_the_envelope_of_a_hand_is_its_joints_in_pulses() -> None:
    bounds = Envelope.of_hand(dclaw(), reach=0.5, step=0.1, speed=2.0).servos
    assert sorted(bounds) == [10, 11, 12, 20, 21, 22, 30, 31, 32]
    # -0.45 and 1.35 rad at 651.9 pulses a rad, and one to round
    assert bounds[10].lower == pytest.approx(2048 - 293.4 - 1, abs=0.1)
    assert bounds[10].upper == pytest.approx(2048 + 880.1 + 1, abs=0.1)
    assert bounds[10].speed == pytest.approx(1303.8, abs=0.1)


@given(
    st.lists(
        st.tuples(
            BYTES, st.sampled_from([0xFE, 1, 10]), st.sampled_from([1, 3, 4, 0x82, 0x83, 0x93]), BYTES, st.booleans()
        ),
        max_size=4,
    ),
    st.data(),
)
def test_it_takes_the_packets_that_the_servos_take_in_any_pieces(
    parts: list[tuple[bytes, int, int, bytes, bool]], data: st.DataObject
) -> None:
    stream = b""
    for noise, id, instruction, body, intact in parts:
        packet = bytearray(Packet(id, instruction, body).encode())
        packet[-1] ^= 0 if intact else 0x40
        stream += noise + packet
    stream += bytes(1100)
    cut = data.draw(st.integers(0, len(stream)))
    servos = [p for p in PacketReader().feed(stream) if p.intact]
    decoder = Decoder()
    seen = decoder.feed(stream[:cut]) + decoder.feed(stream[cut:])
    assert len(seen) == len(servos)
    for raw, packet in zip(seen, servos, strict=True):
        if packet.instruction == 3 and len(packet.parameters) > 2:
            id = None if packet.id == BROADCAST else packet.id
            address = int.from_bytes(packet.parameters[:2], "little")
            assert raw == [RawWrite(id, address, packet.parameters[2:])]
        elif packet.instruction not in (3, 4, 0x83, 0x93):
            assert raw == []


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(-400, 400)), min_size=1, max_size=30))
def test_goals_that_pass_are_within_the_envelope_whatever_they_are(steps: list[tuple[int, int]]) -> None:
    goals, now_ns = {"at": 2048}, 0
    truth = Truth(position=lambda id: 2048, goal=lambda id: goals["at"], torque=lambda id: True)
    bounds = Bounds(lower=1900, upper=2200, reach=120, step=50, speed=1000)
    monitor = ServoMonitor(Envelope({1: bounds}, cycle_s=0.02), truth)
    sent = []
    for ms, move in steps:
        now_ns += ms * MS
        goal, before = goals["at"] + move, monitor.unsafe_writes
        monitor.observe(Packet(1, 3, bytes([116, 0]) + goal.to_bytes(4, "little", signed=True)).encode(), now_ns)
        clean = monitor.unsafe_writes == before
        if clean:
            assert 1900 <= goal <= 2200 and abs(goal - 2048) <= 120 and abs(move) <= 50
        sent.append((now_ns, goal))
        goals["at"] = goal
        recent = [(t, g) for t, g in sent if t >= now_ns - 100 * MS]
        if clean:
            for earlier_ns, earlier in recent:
                assert abs(goal - earlier) <= 1000 * ((now_ns - earlier_ns) * 1e-9 + 0.02)
