"""The control table against addresses written by hand, so that driver and virtual bus cannot be wrong alike."""

from __future__ import annotations

import math

import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec import dynamixel_table as table
from knuckle.hardware.spec.dynamixel_table import MODELS, XC330_M288, XL330_M288, XM430_W210, ServoModel

# name: (address, bytes, writable, signed), as the e-manual of the X servos lists them
KNOWN = {
    "model_number": (0, 2, False, False),
    "firmware_version": (6, 1, False, False),
    "id": (7, 1, True, False),
    "baud_rate": (8, 1, True, False),
    "return_delay_time": (9, 1, True, False),
    "drive_mode": (10, 1, True, False),
    "operating_mode": (11, 1, True, False),
    "homing_offset": (20, 4, True, True),
    "temperature_limit": (31, 1, True, False),
    "max_voltage_limit": (32, 2, True, False),
    "min_voltage_limit": (34, 2, True, False),
    "current_limit": (38, 2, True, False),
    "velocity_limit": (44, 4, True, False),
    "max_position_limit": (48, 4, True, False),
    "min_position_limit": (52, 4, True, False),
    "shutdown": (63, 1, True, False),
    "torque_enable": (64, 1, True, False),
    "status_return_level": (68, 1, True, False),
    "hardware_error_status": (70, 1, False, False),
    "position_d_gain": (80, 2, True, False),
    "position_i_gain": (82, 2, True, False),
    "position_p_gain": (84, 2, True, False),
    "bus_watchdog": (98, 1, True, True),
    "goal_current": (102, 2, True, True),
    "goal_velocity": (104, 4, True, True),
    "profile_acceleration": (108, 4, True, False),
    "profile_velocity": (112, 4, True, False),
    "goal_position": (116, 4, True, True),
    "moving": (122, 1, False, False),
    "present_current": (126, 2, False, True),
    "present_velocity": (128, 4, False, True),
    "present_position": (132, 4, False, True),
    "present_input_voltage": (144, 2, False, False),
    "present_temperature": (146, 1, False, False),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda m: m.name)
def test_the_well_known_registers_are_where_the_manual_has_them(model: ServoModel) -> None:
    found = {r.name: (r.address, r.size, r.writable, r.signed) for r in model.registers if r.name in KNOWN}
    assert found == KNOWN


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda m: m.name)
def test_no_two_registers_share_an_address(model: ServoModel) -> None:
    taken = [a for r in model.registers for a in range(r.address, r.address + r.size)]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize(
    ("model", "number", "current", "ampere", "temperature", "position_p"),
    [
        (XM430_W210, 1030, 1193, 0.00269, 80, 800),
        (XC330_M288, 1240, 2352, 0.001, 70, 1100),
        (XL330_M288, 1200, 1750, 0.001, 70, 400),
    ],
)
def test_each_model_has_its_own_number_current_and_gains(
    model: ServoModel, number: int, current: int, ampere: float, temperature: int, position_p: int
) -> None:
    assert model.number == number and MODELS[number] is model
    assert model.register("model_number").default == number
    assert (model.register("current_limit").default, model.ampere_per_unit) == (current, ampere)
    assert model.register("temperature_limit").default == temperature
    assert model.register("position_p_gain").default == position_p


def test_what_no_source_confirmed_would_be_marked() -> None:
    # Every address was found in the manual; two that the maker's own driver does not list say so.
    sources = {r.name: r.source for m in MODELS.values() for r in m.registers if r.source != "manual and interface"}
    assert sources == {"startup_configuration": "manual", "backup_ready": "manual"}


def test_an_angle_is_counted_from_the_middle_of_the_turn() -> None:
    assert table.pulse_of(0.0) == 2048
    assert table.pulse_of(math.pi / 2) == 3072
    assert table.pulse_of(-math.pi) == 0
    assert table.angle_of(1024) == pytest.approx(-math.pi / 2)


def test_a_negative_value_is_two_s_complement_both_ways() -> None:
    current = XM430_W210.register("present_current")
    assert current.decode(b"\xfe\xff") == -2
    assert current.encode(-2) == b"\xfe\xff"
    assert XM430_W210.register("bus_watchdog").decode(b"\xff") == table.WATCHDOG_EXPIRED


def test_units_are_those_of_the_manual() -> None:
    assert pytest.approx(0.0239808, rel=1e-4) == table.RAD_PER_S_PER_UNIT
    assert pytest.approx(0.3745, rel=1e-3) == table.RAD_PER_S2_PER_UNIT


def test_an_unknown_register_or_model_is_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"unknown register 'goal_positon'; did you mean 'goal_position'"):
        XM430_W210.register("goal_positon")
    with pytest.raises(InputError, match=r"unknown servo model 'XM430'.*XC330-M288"):
        table.servo_model("XM430")
    assert table.servo_model("XL330-M288") is XL330_M288
