"""Each fault of the virtual servos in virtual time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210
from knuckle.hardware.virtual.bus import BusConfig, Reply, VirtualBus
from knuckle.hardware.virtual.fault_storm import PASSING, fault_storm
from knuckle.hardware.virtual.faults import parse_fault, parse_script
from knuckle.hardware.virtual.heat import HeatConfig
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.protocol2 import BROADCAST, Instruction, Packet, PacketReader

MS = 1_000_000
IDS = [10, 11, 12, 20, 21, 22, 30, 31, 32]
ALL_POSITIONS = bytes([132, 0, 4, 0, *IDS])


@dataclass(frozen=True)
class Answer:
    """One status packet."""

    id: int
    error: int
    data: bytes

    @property
    def value(self) -> int:
        return int.from_bytes(self.data, "little", signed=True)


class Host:
    """A bus in virtual time, to break and to ask."""

    def __init__(self, config: BusConfig | None = None, heat: HeatConfig | None = None) -> None:
        self.hand = dclaw()
        self.plant = LaggingJoints(self.hand)
        self.bus = VirtualBus(self.hand, self.plant, XM430_W210, config=config, heat=heat)
        self.now_ns = 0

    def fault(self, text: str) -> None:
        self.bus.inject(parse_fault(text), self.now_ns)

    def send(self, id: int, instruction: int, parameters: bytes = b"") -> list[Reply]:
        return self.bus.receive(Packet(id, instruction, parameters).encode(), self.now_ns)

    def ask(self, id: int, instruction: int, parameters: bytes = b"") -> list[Answer]:
        raw = b"".join(reply.data for reply in self.send(id, instruction, parameters))
        return [Answer(p.id, p.parameters[0], p.parameters[1:]) for p in PacketReader().feed(raw) if p.intact]

    def put(self, id: int, name: str, value: int) -> list[Answer]:
        register = XM430_W210.register(name)
        return self.ask(id, Instruction.WRITE, register.address.to_bytes(2, "little") + register.encode(value))

    def get(self, id: int, name: str) -> int:
        register = XM430_W210.register(name)
        (answer,) = self.ask(id, Instruction.READ, bytes([register.address, 0, register.size, 0]))
        return register.decode(answer.data)

    def heard_from(self) -> list[int]:
        """Whose positions come back from a group read."""
        return [answer.id for answer in self.ask(BROADCAST, Instruction.SYNC_READ, ALL_POSITIONS)]

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.005)):
            self.now_ns += 5 * MS
            self.bus.advance(self.now_ns)


def test_a_silent_servo_does_what_it_is_told_and_answers_nothing_until_its_time_is_over() -> None:
    host = Host()
    host.fault("servo:11 silent for 2 s")
    assert host.put(11, "torque_enable", 1) == []
    assert host.bus.servo(11).torque_on
    assert host.heard_from() == [id for id in IDS if id != 11]
    host.wait(1.99)
    assert host.ask(11, Instruction.PING) == []
    host.wait(0.02)
    assert [a.id for a in host.ask(11, Instruction.PING)] == [11]


def test_behind_a_silent_servo_a_fast_read_and_a_chained_one_break_off() -> None:
    host = Host()
    host.fault("servo:20 silent")
    (reply,) = host.send(BROADCAST, Instruction.FAST_SYNC_READ, ALL_POSITIONS)
    assert len(reply.data) == 8 + 3 * 8 < 7 + int.from_bytes(reply.data[5:7], "little")
    chained = Host(BusConfig(chained=True))
    chained.fault("servo:20 silent")
    assert chained.heard_from() == [10, 11, 12]


def test_an_unpowered_servo_hears_nothing_and_comes_back_as_after_a_power_up() -> None:
    host = Host()
    host.put(11, "torque_enable", 1)
    host.put(11, "position_p_gain", 500)
    host.fault("servo:11 off for 1 s")
    assert host.put(11, "led", 1) == []
    host.put(11, "goal_position", 2700)
    host.wait(0.9)
    assert host.plant.joint_state()[0][1] == pytest.approx(host.hand.home[1])
    host.wait(0.2)
    assert [host.get(11, n) for n in ("led", "torque_enable", "position_p_gain")] == [0, 0, 800]
    assert host.get(11, "goal_position") == host.get(11, "present_position")


def test_a_reboot_is_a_short_absence_and_leaves_torque_off() -> None:
    host = Host()
    host.put(11, "torque_enable", 1)
    host.fault("servo:11 reboot by 50 ms")
    assert host.ask(11, Instruction.PING) == []
    host.wait(0.06)
    assert host.get(11, "torque_enable") == 0 and host.get(11, "goal_position") == host.get(11, "present_position")


def test_garbage_is_bytes_whose_crc_fails() -> None:
    host = Host()
    host.fault("servo:11 garbage")
    clean = Host().send(11, Instruction.READ, bytes([132, 0, 4, 0]))[0].data
    spoiled = [host.send(11, Instruction.READ, bytes([132, 0, 4, 0]))[0].data for _ in range(20)]
    assert all(len(data) == len(clean) and data != clean for data in spoiled)
    assert not [p for data in spoiled for p in PacketReader().feed(data + bytes(1100)) if p.intact]
    assert host.heard_from() == [id for id in IDS if id != 11]


def test_an_intermittent_servo_leaves_its_share_of_answers_out() -> None:
    host = Host()
    host.fault("servo:11 intermittent by 0.3")
    answered = sum(len(host.ask(11, Instruction.PING)) for _ in range(400))
    assert 230 < answered < 330
    again = Host()
    again.fault("servo:11 intermittent by 0.3")
    assert sum(len(again.ask(11, Instruction.PING)) for _ in range(400)) == answered


def test_a_slow_servo_answers_late_and_so_do_those_behind_it() -> None:
    host = Host()
    host.fault("servo:20 slow by 15 ms")
    at = [reply.at_ns // MS for reply in host.send(BROADCAST, Instruction.SYNC_READ, ALL_POSITIONS)]
    assert at == [0, 0, 0, 15, 15, 15, 15, 15, 15]


def test_frozen_readings_stay_while_the_joint_moves() -> None:
    host = Host()
    host.put(11, "torque_enable", 1)
    before = host.get(11, "present_position")
    host.fault("servo:11 frozen for 1 s")
    host.put(11, "goal_position", 2048)
    host.wait(0.5)
    assert host.get(11, "present_position") == before
    assert host.plant.joint_state()[0][1] == pytest.approx(0.0, abs=1e-3)
    host.wait(0.6)
    assert host.get(11, "present_position") == pytest.approx(2048, abs=1)


def test_delayed_readings_are_those_of_a_while_ago() -> None:
    host = Host()
    host.put(11, "torque_enable", 1)
    host.put(11, "profile_velocity", 50)
    host.put(11, "goal_position", 1300)
    host.fault("servo:11 delayed by 100 ms")
    truth, shown = [], []
    for _ in range(60):
        host.wait(0.01)
        truth.append(host.bus.servo(11).value("present_position"))
        shown.append(host.get(11, "present_position"))
    assert shown[20:] == truth[10:-10]
    host.bus.clear(host.now_ns)
    assert host.get(11, "present_position") == host.bus.servo(11).value("present_position")


def test_wrong_readings_are_off_by_an_angle_with_a_good_crc() -> None:
    host = Host()
    before = host.get(11, "present_position")
    host.fault("servo:11 wrong by 0.5 rad")
    host.wait(0.01)
    assert host.get(11, "present_position") - before == 326  # 0.5 rad of 4096 a turn
    assert len({host.get(11, "present_velocity") for _ in range(5) if host.wait(0.01) is None}) > 1
    host.bus.clear(host.now_ns)
    assert host.get(11, "present_position") == before


def test_noisy_readings_scatter_about_the_truth() -> None:
    host = Host()
    truth = host.get(11, "present_position")
    host.fault("servo:11 noisy by 0.05 rad")
    read = [host.get(11, "present_position") - truth for _ in range(300) if host.wait(0.005) is None]
    assert abs(np.mean(read)) < 8 and np.std(read) == pytest.approx(0.05 * 4096 / (2 * np.pi), rel=0.2)
    host.bus.clear(host.now_ns)
    assert host.get(11, "present_position") == truth


def test_a_servo_can_be_warm_without_being_too_hot() -> None:
    host = Host()
    host.put(11, "torque_enable", 1)
    host.fault("servo:11 warm by 72 degC for 1 s")
    host.wait(0.5)
    assert host.get(11, "present_temperature") == 72 and host.get(11, "torque_enable") == 1
    host.wait(10.0)
    assert 60 < host.get(11, "present_temperature") < 70


def test_a_jammed_joint_stands_still_while_its_motor_pushes_until_it_overloads() -> None:
    host = Host(heat=HeatConfig(load_s=0.5))
    host.put(11, "torque_enable", 1)
    host.fault("servo:11 stuck")
    host.put(11, "goal_position", 2048)
    host.wait(0.3)
    assert host.plant.joint_state()[0][1] == pytest.approx(0.8, abs=1e-3)
    assert host.get(11, "present_current") < -800 and host.get(11, "hardware_error_status") == 0
    host.wait(1.5)
    assert host.get(11, "hardware_error_status") == 0x20 and host.get(11, "torque_enable") == 0


@pytest.mark.parametrize(("kind", "bit"), [("overheat", 0x04), ("overload", 0x20)])
def test_a_protection_that_acts_sets_its_bit_the_alert_and_torque_off(kind: str, bit: int) -> None:
    host = Host()
    for id in IDS:
        host.put(id, "torque_enable", 1)
    host.fault(f"servo:11 {kind}")
    host.wait(0.01)
    answers = host.ask(BROADCAST, Instruction.SYNC_READ, ALL_POSITIONS)
    assert [a.error for a in answers] == [0x80 if id == 11 else 0 for id in IDS]
    assert host.get(11, "hardware_error_status") == bit
    assert [host.get(id, "torque_enable") for id in IDS] == [int(id != 11) for id in IDS]


def test_an_overheated_servo_stays_off_until_it_is_cool_and_rebooted() -> None:
    host = Host(heat=HeatConfig(heat_s=2.0))
    host.fault("servo:11 overheat by 3 K for 1 s")
    host.wait(0.5)
    assert host.get(11, "present_temperature") == 83
    host.ask(11, Instruction.REBOOT)
    host.wait(0.01)
    assert host.get(11, "hardware_error_status") == 0x04
    host.wait(1.0)
    host.ask(11, Instruction.REBOOT)
    host.wait(0.01)
    assert host.get(11, "hardware_error_status") == 0 and host.put(11, "torque_enable", 1)[0].error == 0


def test_too_low_a_voltage_is_shown_and_reported() -> None:
    host = Host()
    host.fault("bus undervoltage by 1 V for 1 s")
    host.wait(0.01)
    assert host.get(20, "present_input_voltage") == 85 and host.get(20, "hardware_error_status") == 0x01
    host.wait(1.0)
    assert host.get(20, "present_input_voltage") == 120 and host.get(20, "hardware_error_status") == 0x01


def test_two_servos_with_one_id_look_like_one_until_they_say_different_things() -> None:
    host = Host()
    host.fault("servo:11 duplicate")
    assert len(host.ask(11, Instruction.PING)) == 1
    assert host.ask(11, Instruction.READ, bytes([132, 0, 4, 0])) == []
    assert 11 not in host.heard_from()
    # it takes part in what is written too
    host.put(11, "led", 1)
    assert host.get(11, "led") == 1


def test_a_fault_of_the_bus_befalls_every_servo() -> None:
    host = Host()
    host.fault("bus silent for 1 s")
    assert host.heard_from() == []
    host.wait(1.1)
    assert host.heard_from() == IDS


def test_an_unplugged_bus_says_so_until_it_is_plugged_in_again() -> None:
    host = Host()
    host.fault("bus unplug for 0.5 s")
    assert host.bus.unplugged
    host.wait(0.6)
    assert not host.bus.unplugged


def test_clearing_ends_what_is_and_forgets_what_was_to_come() -> None:
    host = Host()
    host.fault("servo:10 silent")
    host.bus.play(parse_script("at 1 s servo:11 silent"), host.now_ns)
    assert host.bus.clear(host.now_ns) == 2
    host.wait(1.1)
    assert host.heard_from() == IDS


def test_a_servo_that_is_not_there_cannot_fail() -> None:
    host = Host()
    for act in (lambda: host.fault("servo:99 silent"), lambda: host.bus.play(parse_script("at 1s servo:99 off"), 0)):
        with pytest.raises(InputError, match=r"no servo 99; one of 10, 11, 12"):
            act()
    assert host.heard_from() == IDS


def test_a_script_plays_from_when_it_is_begun() -> None:
    host = Host()
    host.wait(3.0)
    script = """
    # two servos, one after the other
    at 0.5 s servo:12 silent for 500 ms
    at 0.2 s servo:10 silent for 0.2 s   # listed second, first in time
    """
    host.bus.play(parse_script(script), host.now_ns)
    gone = []
    for _ in range(12):
        host.wait(0.1)
        gone.append([id for id in IDS if id not in host.heard_from()])
    assert gone == [[], [10], [10], [], [12], [12], [12], [12], [12], [], [], []]


def test_a_bus_is_whole_again_after_a_storm() -> None:
    host = Host()
    storm = fault_storm(np.random.default_rng(3), IDS, 30.0)
    assert {scripted.fault.kind for scripted in storm} <= set(PASSING)
    host.bus.play(storm, 0)
    host.wait(30.0)
    assert host.bus.board.injected == len(storm) and host.bus.board.active == []
    assert host.heard_from() == IDS and not host.bus.unplugged
