"""A servo made ready with torque off: every register that matters is written where it differs, and read back."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.hardware.dynamixel.drive_profile import DriveProfile
from knuckle.hardware.dynamixel.faults import ServoRefused
from knuckle.hardware.dynamixel.servo_bus import ServoBus
from knuckle.hardware.spec.dynamixel_table import WATCHDOG_UNIT_MS, Register, ServoModel

_EVERY_ANSWER = 2


@dataclass(frozen=True)
class Settled:
    """What configuring one servo did: its id, the registers that had to be changed, those it does not have."""

    servo: int
    changed: tuple[str, ...]
    absent: tuple[str, ...]


def settings(model: ServoModel, profile: DriveProfile, servo: int, watchdog_ms: int) -> dict[str, int]:
    """What ``servo`` must hold, in the order in which it is written. EEPROM comes first, the watchdog last."""
    gains = profile.gains[servo]
    values = {
        "return_delay_time": 0,
        "drive_mode": 0,
        "operating_mode": profile.mode,
        "homing_offset": 0,
        "max_position_limit": 4095,
        "min_position_limit": 0,
        "startup_configuration": 0,
    }
    if profile.current is not None:
        values["current_limit"] = profile.current[model.number]
    return values | {
        "position_p_gain": gains.p,
        "position_i_gain": gains.i,
        "position_d_gain": gains.d,
        "profile_acceleration": 0,
        "profile_velocity": 0,
        "bus_watchdog": watchdog_units(watchdog_ms),
    }


def watchdog_units(watchdog_ms: int) -> int:
    """The value of Bus Watchdog for a silence of ``watchdog_ms``, rounded up."""
    return -(-watchdog_ms // WATCHDOG_UNIT_MS)


def configure(bus: ServoBus, model: ServoModel, profile: DriveProfile, servo: int, watchdog_ms: int) -> Settled:
    """Torque off, then all ``settings``. Raises DeviceError where a register refuses or reads back otherwise.

    EEPROM wears out, so what already holds its value is not written again.
    """
    bus.write_checked(servo, model.register("torque_enable"), 0)
    bus.write_checked(servo, model.register("status_return_level"), _EVERY_ANSWER)
    # An expired watchdog locks goals until it is cleared.
    bus.write(servo, model.register("bus_watchdog"), 0)
    changed, absent = [], []
    for name, value in settings(model, profile, servo, watchdog_ms).items():
        register = model.register(name)
        try:
            held = bus.read(servo, register)
        except ServoRefused:
            if confirmed(register):
                raise
            absent.append(name)
            continue
        if held != value:
            bus.write_checked(servo, register, value)
            changed.append(name)
    return Settled(servo, tuple(changed), tuple(absent))


def confirmed(register: Register) -> bool:
    """Whether two sources agree on a register. One that old firmware may lack is passed over where it is refused."""
    return register.source == "manual and interface"
