"""One virtual servo in virtual time: its table, what it refuses, its watchdog, its errors, its trajectory."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.hardware.spec.dynamixel_table import MODELS, OVERHEATING_ERROR, VOLTAGE_ERROR, XC330_M288, XM430_W210
from knuckle.hardware.virtual.protocol2 import StatusError
from knuckle.hardware.virtual.servo import Measurement, ServoRefusal, VirtualServo

MS = 1_000_000
STILL = Measurement(angle=0.0, velocity=0.0, torque=0.0, temperature=25.0, volts=12.0)


def servo(angle: float = 0.0) -> VirtualServo:
    return VirtualServo(XM430_W210, 11, angle=angle)


def put(s: VirtualServo, name: str, value: int) -> None:
    register = s.model.register(name)
    s.write(register.address, register.encode(value))


def refused(s: VirtualServo, name: str, value: int) -> StatusError:
    before = s.read(0, 14), s.read(100, 48)
    with pytest.raises(ServoRefusal) as caught:
        put(s, name, value)
    assert (s.read(0, 14), s.read(100, 48)) == before
    return caught.value.error


def test_a_new_servo_is_off_and_would_stay_where_it_stands() -> None:
    s = servo(0.5)
    assert not s.torque_on and s.hardware_error == 0
    assert s.value("goal_position") == s.value("present_position") == 2048 + round(0.5 * 4096 / (2 * math.pi))


def test_eeprom_is_locked_while_torque_is_on() -> None:
    s = servo()
    put(s, "current_limit", 500)
    put(s, "torque_enable", 1)
    assert refused(s, "current_limit", 400) == StatusError.ACCESS
    put(s, "torque_enable", 0)
    put(s, "current_limit", 400)
    assert s.value("current_limit") == 400


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("present_position", 1, StatusError.ACCESS),
        ("model_number", 1, StatusError.ACCESS),
        ("position_p_gain", 16_384, StatusError.DATA_RANGE),
        ("torque_enable", 2, StatusError.DATA_RANGE),
        ("bus_watchdog", -1, StatusError.DATA_RANGE),
        ("operating_mode", 1, StatusError.DATA_RANGE),
        ("goal_position", 4_096, StatusError.DATA_LIMIT),
        ("goal_position", -1, StatusError.DATA_LIMIT),
        ("goal_velocity", 331, StatusError.DATA_LIMIT),
    ],
)
def test_a_value_that_may_not_be_is_refused_with_its_reason(name: str, value: int, error: StatusError) -> None:
    assert refused(servo(), name, value) == error


def test_half_a_register_is_refused_by_its_length_and_nothing_by_its_address() -> None:
    s = servo()
    for address, data, error in [
        (116, b"\x00\x08", StatusError.DATA_LENGTH),
        (118, b"\x00\x00", StatusError.DATA_LENGTH),
        (66, b"\x00", StatusError.ACCESS),
        (700, b"\x00", StatusError.ACCESS),
    ]:
        with pytest.raises(ServoRefusal) as caught:
            s.write(address, data)
        assert caught.value.error == error
    for address, length in [(66, 1), (147, 2), (660, 5), (64, 0)]:
        with pytest.raises(ServoRefusal):
            s.read(address, length)


def test_a_write_of_several_registers_changes_all_or_none() -> None:
    s = servo()
    # goal current, goal velocity, profiles, goal position: 102 to 119
    s.write(102, b"\x64\x00" + b"\x0a\0\0\0" + b"\x05\0\0\0" + b"\x06\0\0\0" + b"\x00\x09\0\0")
    assert (s.value("goal_current"), s.value("profile_velocity"), s.value("goal_position")) == (100, 6, 2304)
    with pytest.raises(ServoRefusal):
        s.write(102, b"\x65\x00" + b"\x0a\0\0\0" + b"\x05\0\0\0" + b"\x06\0\0\0" + b"\x00\x19\0\0")
    assert s.value("goal_current") == 100


def test_position_limits_bind_in_position_mode_alone() -> None:
    s = servo()
    put(s, "max_position_limit", 3000)
    assert refused(s, "goal_position", 3001) == StatusError.DATA_LIMIT
    put(s, "operating_mode", 5)
    put(s, "goal_position", 5000)
    assert s.value("goal_position") == 5000


def test_goal_current_limits_the_torque_in_the_current_based_mode_alone() -> None:
    s = VirtualServo(XC330_M288, 3)
    put(s, "goal_current", 350)
    assert s.torque_limit == pytest.approx(0.93)
    put(s, "operating_mode", 5)
    put(s, "goal_current", 350)
    assert s.torque_limit == pytest.approx(0.35 * 0.93 / 1.8)


def test_goal_pwm_bounds_the_torque_in_every_mode() -> None:
    s = servo()
    assert s.torque_limit == pytest.approx(3.0)
    put(s, "goal_pwm", 177)
    assert s.torque_limit == pytest.approx(0.2 * 3.0)
    put(s, "operating_mode", 5)
    put(s, "goal_current", 50)
    assert s.torque_limit == pytest.approx(50 * 2.69e-3 * 3.0 / 2.3)


def test_the_watchdog_stops_the_servo_and_locks_its_goals_until_it_is_cleared() -> None:
    s = servo()
    put(s, "torque_enable", 1)
    put(s, "bus_watchdog", 5)
    put(s, "goal_position", 3000)
    s.heard(0)
    s.advance(100 * MS, 0.1, STILL)
    assert s.value("bus_watchdog") == 5 and s.target > 1.0
    s.advance(101 * MS, 0.001, STILL)
    assert s.value("bus_watchdog") == -1 and s.target == 0.0 and s.torque_on
    assert refused(s, "goal_position", 2100) == StatusError.DATA_RANGE
    put(s, "bus_watchdog", 0)
    put(s, "goal_position", 2100)
    assert s.value("goal_position") == 2100


def test_the_watchdog_waits_for_any_packet_and_only_with_torque() -> None:
    s = servo()
    put(s, "bus_watchdog", 1)
    s.advance(500 * MS, 0.5, STILL)
    assert s.value("bus_watchdog") == 1
    put(s, "torque_enable", 1)
    for n in range(30):
        s.heard(500 * MS + n * 19 * MS)
        s.advance(519 * MS + n * 19 * MS, 0.019, STILL)
    assert s.value("bus_watchdog") == 1


def test_an_error_that_shutdown_names_turns_torque_off_until_a_reboot() -> None:
    s = servo()
    put(s, "torque_enable", 1)
    s.raise_error(VOLTAGE_ERROR)  # 52 names overheating, shock and overload alone
    assert s.torque_on
    s.raise_error(OVERHEATING_ERROR)
    assert not s.torque_on and s.hardware_error == VOLTAGE_ERROR | OVERHEATING_ERROR
    assert refused(s, "torque_enable", 1) == StatusError.RESULT_FAIL
    s.power_up(0)
    put(s, "torque_enable", 1)
    assert s.torque_on and s.hardware_error == 0


def test_a_reboot_forgets_ram_and_keeps_eeprom() -> None:
    s = servo()
    for name, value in [("current_limit", 300), ("position_p_gain", 600), ("bus_watchdog", 5), ("torque_enable", 1)]:
        put(s, name, value)
    s.power_up(0)
    kept = [s.value(n) for n in ("current_limit", "position_p_gain", "bus_watchdog", "torque_enable")]
    assert kept == [300, 800, 0, 0]


def test_measurements_are_given_in_the_tables_units() -> None:
    s = servo()
    put(s, "torque_enable", 1)
    s.advance(MS, 0.001, Measurement(-0.5, -0.24, -1.0, 41.4, 11.96))
    assert s.value("present_position") == 2048 - 326
    assert s.value("present_velocity") == -10
    assert s.value("present_current") == -285  # 1 N m at 1.304 N m/A in units of 2.69 mA
    assert (s.value("present_temperature"), s.value("present_input_voltage")) == (41, 120)
    assert s.read(128, 4) == b"\xf6\xff\xff\xff"


def test_a_profile_bounds_the_speed_and_ends_at_the_goal() -> None:
    s = servo()
    put(s, "profile_velocity", 100)  # 2.4 rad/s
    put(s, "profile_acceleration", 50)  # 18.7 rad/s^2
    put(s, "torque_enable", 1)
    put(s, "goal_position", 3072)
    places = [0.0]
    for n in range(1, 200):
        s.advance(n * 10 * MS, 0.01, STILL)
        places.append(s.target)
    speeds = [(b - a) / 0.01 for a, b in itertools.pairwise(places)]
    assert max(speeds) == pytest.approx(2.398, rel=0.01)
    assert max(b - a for a, b in itertools.pairwise(speeds)) <= 18.73 * 0.01 + 1e-9
    assert places[-1] == pytest.approx(math.pi / 2, abs=1e-3)


def test_reverse_mode_and_homing_offset_move_what_is_read_and_written_alike() -> None:
    s = servo(0.3)
    put(s, "drive_mode", 1)
    put(s, "homing_offset", 100)
    s.advance(MS, 0.001, Measurement(0.3, 0.0, 0.0, 25.0, 12.0))
    assert s.value("present_position") == 2048 - 196 + 100
    put(s, "goal_position", s.value("present_position"))
    put(s, "torque_enable", 1)
    s.advance(2 * MS, 0.001, Measurement(0.3, 0.0, 0.0, 25.0, 12.0))
    assert s.target == pytest.approx(0.3, abs=1e-3)


def test_a_registered_write_waits_for_action() -> None:
    s = servo()
    with pytest.raises(ServoRefusal) as caught:
        s.action()
    assert caught.value.error == StatusError.INSTRUCTION
    s.register_write(116, (2200).to_bytes(4, "little"))
    assert s.value("goal_position") == 2048 and s.value("registered_instruction") == 1
    s.action()
    assert s.value("goal_position") == 2200 and s.value("registered_instruction") == 0


def test_indirect_data_reads_and_writes_what_it_points_at() -> None:
    s = servo()
    s.write(168, b"".join((116 + n).to_bytes(2, "little") for n in range(4)))
    s.write(224, (2300).to_bytes(4, "little"))
    assert s.value("goal_position") == 2300
    assert s.read(224, 4) == (2300).to_bytes(4, "little")
    with pytest.raises(ServoRefusal) as caught:
        s.write(168, (10).to_bytes(2, "little"))
    assert caught.value.error == StatusError.DATA_RANGE


@given(st.sampled_from(sorted(MODELS)), st.integers(0, 700), st.binary(max_size=20), st.booleans())
def test_no_write_puts_a_register_outside_its_range(number: int, address: int, data: bytes, torque: bool) -> None:
    s = VirtualServo(MODELS[number], 1)
    if torque:
        put(s, "torque_enable", 1)
    try:
        s.write(address, data)
    except ServoRefusal:
        return
    for register in s.model.registers:
        if register.writable and register.low is not None and register.high is not None:
            assert register.low <= s.value(register.name) <= register.high
