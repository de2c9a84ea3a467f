"""What a servo bus can do to us, each a DeviceError of its own kind so that a caller can tell them apart."""

from __future__ import annotations

from knuckle.core.errors import DeviceError

STATUS_ERRORS = {
    1: "the instruction failed",
    2: "the instruction is unknown to it",
    3: "it received a wrong CRC",
    4: "the value is out of range",
    5: "the value has the wrong length",
    6: "the value is beyond its limit",
    7: "the register is read only, or EEPROM while torque is on",
}
"""The low seven bits of a status packet's error byte; bit 7 is the hardware alert."""

ALERT = 0x80

HARDWARE_ERRORS = {
    0: "input voltage",
    2: "overheating",
    3: "encoder",
    4: "electrical shock",
    5: "overload",
}
"""The bits of register Hardware Error Status."""


class PortLost(DeviceError):
    """The port went away: its adapter was unplugged."""


class ServoSilent(DeviceError):
    """A servo did not answer."""


class ServoGarbled(ServoSilent):
    """Something answered, but no whole packet: noise, another baud rate, or two servos with one id."""


class ServoRefused(DeviceError):
    """A servo answered with an error."""


class NotAsWritten(DeviceError):
    """A register does not read back what was written to it."""


def hardware_error_text(bits: int) -> str:
    """The names of the hardware errors in ``bits``, comma separated; empty for 0."""
    return ", ".join(HARDWARE_ERRORS.get(bit, f"bit {bit}") for bit in range(8) if bits >> bit & 1)
