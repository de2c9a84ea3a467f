"""The control table of the Dynamixel X servos hands are built with, as data: one source for driver and virtual bus.

Addresses, sizes, access, defaults and ranges follow the maker's e-manual pages of each model; the addresses were
compared with the maker's own ROS hardware interface (its `.model` files). ``source`` says of each register what
confirmed it. Values are little endian, negative ones in two's complement. Addresses below 64 are EEPROM: locked while
torque is on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from knuckle.core.errors import unknown_name

Source = Literal["manual and interface", "manual", "unchecked"]

EEPROM_END = 64
PULSES_PER_TURN = 4096
CENTRE_PULSE = 2048
"""The pulse count that is angle zero here: the middle of a turn, so that position mode spans -pi to pi."""

RAD_PER_PULSE = 2.0 * math.pi / PULSES_PER_TURN
RAD_PER_S_PER_UNIT = 0.229 * 2.0 * math.pi / 60.0
"""One unit of velocity, 0.229 rev/min, in rad/s."""

RAD_PER_S2_PER_UNIT = 214.577 * 2.0 * math.pi / 3600.0
"""One unit of profile acceleration, 214.577 rev/min^2, in rad/s^2."""

WATCHDOG_UNIT_MS = 20
WATCHDOG_EXPIRED = -1
"""What Bus Watchdog reads after it expired; writing 0 clears it."""

POSITION_MODE = 3
CURRENT_BASED_POSITION_MODE = 5

# Hardware Error Status (70) and Shutdown (63) share these bits.
VOLTAGE_ERROR = 0x01
OVERHEATING_ERROR = 0x04
ENCODER_ERROR = 0x08
ELECTRICAL_SHOCK_ERROR = 0x10
OVERLOAD_ERROR = 0x20

BAUD_RATES = (9_600, 57_600, 115_200, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 4_500_000)
"""Bits per second by the value of Baud Rate (8); XC330 and XL330 stop at 4 Mbit/s."""


@dataclass(frozen=True)
class Register:
    """One field of the table.

    ``default`` is what a new or rebooted servo holds (None: it depends), ``low`` and ``high`` the accepted values
    (None: not limited by the table itself), ``unit`` as the manual writes it.
    """

    name: str
    address: int
    size: int
    writable: bool
    default: int | None = None
    low: int | None = None
    high: int | None = None
    unit: str = ""
    signed: bool = False
    source: Source = "manual and interface"

    @property
    def eeprom(self) -> bool:
        """Kept over power cycles, and locked while torque is on."""
        return self.address < EEPROM_END

    def encode(self, value: int) -> bytes:
        """``value`` as the bytes on the bus; OverflowError where it does not fit."""
        return value.to_bytes(self.size, "little", signed=value < 0)

    def decode(self, data: bytes) -> int:
        """The value of ``data``, ``size`` bytes, two's complement undone for signed registers."""
        return int.from_bytes(data, "little", signed=self.signed)


@dataclass(frozen=True)
class ServoModel:
    """One servo model: its number, its table, and what its motor is like.

    ``ampere_per_unit`` is one unit of current; ``torque_per_ampere`` (N m/A) is stall torque over stall current at the
    voltage ``volts`` that the manual recommends; ``indirect`` is (first address register, first data register, count).
    """

    name: str
    number: int
    registers: tuple[Register, ...]
    ampere_per_unit: float
    torque_per_ampere: float
    stall_torque: float
    volts: float
    indirect: tuple[tuple[int, int, int], ...]

    @cached_property
    def by_name(self) -> dict[str, Register]:
        """Registers by name."""
        return {register.name: register for register in self.registers}

    @cached_property
    def size(self) -> int:
        """One more than the last address."""
        return max([r.address + r.size for r in self.registers] + [data + count for _, data, count in self.indirect])

    def register(self, name: str) -> Register:
        """The register called ``name``; InputError for an unknown one."""
        if name not in self.by_name:
            raise unknown_name("register", name, self.by_name, where=self.name)
        return self.by_name[name]


def pulse_of(angle: float) -> int:
    """The position in pulses of a servo angle in rad (0 at CENTRE_PULSE), rounded to the nearest."""
    return CENTRE_PULSE + round(angle / RAD_PER_PULSE)


def angle_of(pulse: float) -> float:
    """The servo angle in rad of a position in pulses."""
    return (pulse - CENTRE_PULSE) * RAD_PER_PULSE


def _r(
    name: str, address: int, size: int, unit: str = "", *, signed: bool = False, default: int | None = 0
) -> Register:
    """A register that can only be read."""
    return Register(name, address, size, False, default, unit=unit, signed=signed)


def _w(
    name: str, address: int, size: int, default: int | None, low: int | None, high: int | None, unit: str = ""
) -> Register:
    """A register that can be written."""
    return Register(name, address, size, True, default, low, high, unit, signed=low is not None and low < 0)


_GAIN = 16_383
_TURNS = 1_048_575


@dataclass(frozen=True)
class _Differences:
    """What differs between the models."""

    number: int
    top_baud: int
    protocols: tuple[int, int]
    temperature: int
    volts: tuple[int, int, int, int]  # max limit, min limit, lowest and highest of both
    current: int
    current_unit: str
    velocity: tuple[int, int]  # default, highest
    shutdown: int
    gains: tuple[int, int, int, int]  # velocity I and P, position D and P
    pwm_slope: bool


def _eeprom(d: _Differences) -> tuple[Register, ...]:
    high_volt, low_volt, lowest, highest = d.volts
    slope = (_w("pwm_slope", 62, 1, 140, 1, 255, "1.977 mV/ms"),) if d.pwm_slope else ()
    return (
        _r("model_number", 0, 2, default=d.number),
        _r("model_information", 2, 4),
        _r("firmware_version", 6, 1, default=None),
        _w("id", 7, 1, 1, 0, 252),
        _w("baud_rate", 8, 1, 1, 0, d.top_baud),
        _w("return_delay_time", 9, 1, 250, 0, 254, "2 us"),
        _w("drive_mode", 10, 1, 0, 0, 13),
        _w("operating_mode", 11, 1, POSITION_MODE, 0, 16),
        _w("secondary_id", 12, 1, 255, 0, 255),
        _w("protocol_type", 13, 1, 2, *d.protocols),
        _w("homing_offset", 20, 4, 0, -1_044_479, 1_044_479, "pulse"),
        _w("moving_threshold", 24, 4, 10, 0, 1_023, "0.229 rev/min"),
        _w("temperature_limit", 31, 1, d.temperature, 0, 100, "degC"),
        _w("max_voltage_limit", 32, 2, high_volt, lowest, highest, "0.1 V"),
        _w("min_voltage_limit", 34, 2, low_volt, lowest, highest, "0.1 V"),
        _w("pwm_limit", 36, 2, 885, 0, 885, "0.113 %"),
        _w("current_limit", 38, 2, d.current, 0, d.current, d.current_unit),
        _w("velocity_limit", 44, 4, d.velocity[0], 0, d.velocity[1], "0.229 rev/min"),
        _w("max_position_limit", 48, 4, 4_095, 0, 4_095, "pulse"),
        _w("min_position_limit", 52, 4, 0, 0, 4_095, "pulse"),
        Register("startup_configuration", 60, 1, True, 0, 0, 3, source="manual"),
        *slope,
        _w("shutdown", 63, 1, d.shutdown, 0, 255),
    )


def _ram(d: _Differences) -> tuple[Register, ...]:
    velocity_i, velocity_p, position_d, position_p = d.gains
    return (
        _w("torque_enable", 64, 1, 0, 0, 1),
        _w("led", 65, 1, 0, 0, 1),
        _w("status_return_level", 68, 1, 2, 0, 2),
        _r("registered_instruction", 69, 1),
        _r("hardware_error_status", 70, 1),
        _w("velocity_i_gain", 76, 2, velocity_i, 0, _GAIN),
        _w("velocity_p_gain", 78, 2, velocity_p, 0, _GAIN),
        _w("position_d_gain", 80, 2, position_d, 0, _GAIN),
        _w("position_i_gain", 82, 2, 0, 0, _GAIN),
        _w("position_p_gain", 84, 2, position_p, 0, _GAIN),
        _w("feedforward_2nd_gain", 88, 2, 0, 0, _GAIN),
        _w("feedforward_1st_gain", 90, 2, 0, 0, _GAIN),
        # Reads -1 after it expired, but only 0 to 127 can be written.
        Register("bus_watchdog", 98, 1, True, 0, 0, 127, "20 ms", signed=True),
        _w("goal_pwm", 100, 2, None, -885, 885, "0.113 %"),
        _w("goal_current", 102, 2, None, -d.current, d.current, d.current_unit),
        _w("goal_velocity", 104, 4, None, -d.velocity[1], d.velocity[1], "0.229 rev/min"),
        _w("profile_acceleration", 108, 4, 0, 0, 32_767, "214.577 rev/min^2"),
        _w("profile_velocity", 112, 4, 0, 0, 32_767, "0.229 rev/min"),
        _w("goal_position", 116, 4, None, -_TURNS, _TURNS, "pulse"),
        _r("realtime_tick", 120, 2, "ms"),
        _r("moving", 122, 1),
        _r("moving_status", 123, 1),
        _r("present_pwm", 124, 2, "0.113 %", signed=True),
        _r("present_current", 126, 2, d.current_unit, signed=True),
        _r("present_velocity", 128, 4, "0.229 rev/min", signed=True),
        _r("present_position", 132, 4, "pulse", signed=True),
        _r("velocity_trajectory", 136, 4, "0.229 rev/min", signed=True),
        _r("position_trajectory", 140, 4, "pulse", signed=True),
        _r("present_input_voltage", 144, 2, "0.1 V"),
        _r("present_temperature", 146, 1, "degC"),
        Register("backup_ready", 147, 1, False, 0, source="manual"),
    )


def _table(d: _Differences) -> tuple[Register, ...]:
    return (*_eeprom(d), *_ram(d))


XM430_W210 = ServoModel(
    "XM430-W210",
    1030,
    _table(
        _Differences(
            1030,
            top_baud=7,
            protocols=(1, 2),
            temperature=80,
            volts=(160, 95, 95, 160),
            current=1_193,
            current_unit="2.69 mA",
            velocity=(330, 1_023),
            shutdown=52,
            gains=(1_920, 100, 0, 800),
            pwm_slope=False,
        )
    ),
    ampere_per_unit=2.69e-3,
    torque_per_ampere=3.0 / 2.3,
    stall_torque=3.0,
    volts=12.0,
    indirect=((168, 224, 28), (578, 634, 28)),
)
"""The D'Claw's servo."""

XC330_M288 = ServoModel(
    "XC330-M288",
    1240,
    _table(
        _Differences(
            1240,
            top_baud=6,
            protocols=(2, 22),
            temperature=70,
            volts=(70, 35, 31, 70),
            current=2_352,
            current_unit="1 mA",
            velocity=(350, 2_047),
            shutdown=52,
            gains=(1_600, 50, 500, 1_100),
            pwm_slope=True,
        )
    ),
    ampere_per_unit=1e-3,
    torque_per_ampere=0.93 / 1.80,
    stall_torque=0.93,
    volts=5.0,
    indirect=((168, 208, 20),),
)
"""The servo of the full LEAP hand."""

XL330_M288 = ServoModel(
    "XL330-M288",
    1200,
    _table(
        _Differences(
            1200,
            top_baud=6,
            protocols=(2, 22),
            temperature=70,
            volts=(70, 35, 31, 70),
            current=1_750,
            current_unit="1 mA",
            velocity=(445, 2_047),
            shutdown=53,
            gains=(1_600, 180, 0, 400),
            pwm_slope=True,
        )
    ),
    ampere_per_unit=1e-3,
    torque_per_ampere=0.52 / 1.47,
    stall_torque=0.52,
    volts=5.0,
    indirect=((168, 208, 20),),
)
"""The servo of the light LEAP hand."""

MODELS: dict[int, ServoModel] = {model.number: model for model in (XM430_W210, XC330_M288, XL330_M288)}
"""Servo models by the number that a ping answers."""


def servo_model(name: str) -> ServoModel:
    """The model called ``name`` (as "XM430-W210"); InputError for an unknown one."""
    names = {model.name: model for model in MODELS.values()}
    if name not in names:
        raise unknown_name("servo model", name, names)
    return names[name]
