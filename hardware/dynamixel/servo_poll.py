"""The slow poll: what changes slowly, and whether each servo still is as it was set up. One small read a cycle.

In turn: torque of all servos, hardware error, gains or warmth of one, bus watchdog of all, one servo again. So a servo
that was restarted is seen within four cycles, a hardware error at once (its alert bit asks for it), and everything else
within six cycles a servo. No read spans an address without a register: the manual lets a servo refuse that. What would
stop the hand is believed when it is read twice; a hardware error when the servo's alert bit says so too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.dynamixel.configuration import watchdog_units
from knuckle.hardware.dynamixel.drive_profile import DriveProfile
from knuckle.hardware.dynamixel.faults import ServoSilent
from knuckle.hardware.dynamixel.servo_group import ServoGroup
from knuckle.hardware.spec.dynamixel_table import WATCHDOG_EXPIRED
from knuckle.hardware.spec.hand_spec import Array

Mask = NDArray[np.bool_]

SIZES = (1, 3, 6)
"""Bytes of data in the answers to its reads."""

ROUND = 6
"""Cycles a servo until everything of it has been asked."""


class ServoPoll:
    """Asks the servos of ``group``, which were set up by ``profile`` with a bus watchdog of ``watchdog_ms``."""

    def __init__(self, group: ServoGroup, profile: DriveProfile, watchdog_ms: int) -> None:
        dof = len(group.ids)
        self._group, self._profile = group, profile
        self._watchdog = watchdog_units(watchdog_ms)
        self._turn = self._item = 0
        self._alert: Mask = np.zeros(dof, dtype=np.bool_)
        self.temperature: Array = np.full(dof, np.nan)
        """Degrees Celsius; NaN until polled."""
        self.volts: Array = np.full(dof, np.nan)
        self.error: NDArray[np.int32] = np.zeros(dof, dtype=np.int32)
        """Hardware Error Status."""
        self.expired: Mask = np.zeros(dof, dtype=np.bool_)
        """Servos whose bus watchdog has stopped them."""
        self.changed: Mask = np.zeros(dof, dtype=np.bool_)
        """Servos that are not as they were set up: they were restarted, or somebody else wrote to them."""

    def look(self, alert: Mask, live: Mask, torque: Mask) -> None:
        """Make this cycle's read, of ``live`` servos only.

        A servo that raises its ``alert`` bit with no error known goes first. ``torque`` says where torque was put on.
        """
        self._alert = alert
        if self._group.bus.owed(*SIZES):
            # A late answer could be taken for that to the next question.
            return
        urgent = np.flatnonzero(alert & live & (self.error == 0))
        if urgent.size:
            self._hardware_error(int(urgent[0]))
            return
        if not live.any():
            return
        self._turn = (self._turn + 1) % 4
        if self._turn == 1:
            # A servo that protects itself takes its own torque off, and says so in its error.
            _, limp = self._other_than("torque_enable", 1, live & torque)
            self.changed |= limp & (self.error == 0) & ~alert
        elif self._turn == 3:
            held, other = self._other_than("bus_watchdog", self._watchdog, live)
            expired = held == WATCHDOG_EXPIRED
            self.expired = np.where(np.isnan(held), self.expired, other & expired)
            self.changed |= other & ~expired
        else:
            n, item = divmod(self._item, 3)
            self._item = (self._item + 1) % (3 * len(live))
            if live[n]:
                (self._hardware_error, self._gains, self._warmth)[item](n)

    def _other_than(self, name: str, value: int, chosen: Mask) -> tuple[Array, Mask]:
        """What the ``chosen`` servos hold in register ``name``, and who holds something else, read twice."""
        held = self._group.values(name, chosen)
        other = ~np.isnan(held) & (held != value)
        if other.any():
            other &= self._group.values(name, other) == held
        return held, other

    def forget(self, n: int) -> None:
        """Servo ``n`` was set up anew."""
        self.error[n], self.expired[n], self.changed[n] = 0, False, False

    def _hardware_error(self, n: int) -> None:
        value = self._read(n, "hardware_error_status")
        if value is not None:
            self.error[n] = value[0] if self._alert[n] else 0

    def _gains(self, n: int) -> None:
        gains = self._profile.gains[self._group.ids[n]]
        value = self._read(n, "position_d_gain", "position_i_gain", "position_p_gain")
        if value is not None and value != (gains.d, gains.i, gains.p):
            self.changed[n] = self._read(n, "position_d_gain", "position_i_gain", "position_p_gain") == value

    def _warmth(self, n: int) -> None:
        value = self._read(n, "present_input_voltage", "present_temperature")
        if value is not None:
            self.volts[n], self.temperature[n] = 0.1 * value[0], value[1]

    def _read(self, n: int, *names: str) -> tuple[int, ...] | None:
        """Neighbouring registers of servo ``n``; None where it does not answer.

        The cycle's own group read counts misses; here they change nothing.
        """
        registers = [self._group.model.register(name) for name in names]
        first, last = registers[0].address, registers[-1].address + registers[-1].size
        try:
            data = self._group.bus.read_bytes(self._group.ids[n], first, last - first)
        except ServoSilent:
            return None
        return tuple(r.decode(data[r.address - first : r.address - first + r.size]) for r in registers)
