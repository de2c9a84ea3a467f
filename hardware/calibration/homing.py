"""Homing: where each servo's horn stands when its joint is at zero, found against the joint's stops or by a posture.

The servos move one at a time, torque off but for the one, in current-based position mode under a small current, with
the bus watchdog set: whoever holds a finger back is not hurt, and a driver that dies leaves nothing that moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import DeviceError
from knuckle.hardware.calibration.calibration_file import Calibration, ServoZero
from knuckle.hardware.calibration.stop_search import SearchConfig, StopSearch
from knuckle.hardware.dynamixel.configuration import configure, watchdog_units
from knuckle.hardware.dynamixel.drive_profile import DriveProfile
from knuckle.hardware.dynamixel.servo_bus import ServoBus
from knuckle.hardware.dynamixel.units import torque_per_unit
from knuckle.hardware.spec.dynamixel_table import CURRENT_BASED_POSITION_MODE, ServoModel, angle_of, pulse_of
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Joint

PERIOD_S = 0.02
WATCHDOG_MS = 200
SAMPLES = 20
UNSTEADY_RAD = 0.02
SETTLE_S = 3.0


@dataclass(frozen=True)
class Homing:
    """The servos of ``spec`` on ``bus``, all of ``model``; ``pause`` lets seconds pass, ``said`` takes a line each."""

    bus: ServoBus
    spec: HandSpec
    model: ServoModel
    profile: DriveProfile
    config: SearchConfig
    pause: Callable[[float], None]
    said: Callable[[str], None] = lambda line: None

    def against_stops(self) -> Calibration:
        """The calibration by driving each joint to both its stops, which lie at the spec's limits, then to its home.

        Raises DeviceError (a stop not met, stops that disagree, a servo that fails); torque is off then.
        """
        try:
            zeros = [self._zero(joint, self._offset(joint)) for joint in self.spec.joints]
        finally:
            self._limp()
        return Calibration(self.spec.name, "stops", tuple(zeros))

    def by_posture(self, posture: Array) -> Calibration:
        """The calibration from the hand as it stands now, its joints at ``posture`` (dof,) rad. Torque stays off.

        Raises DeviceError where a joint does not keep still.
        """
        self._limp()
        zeros = []
        for joint, q in zip(self.spec.joints, posture, strict=True):
            horns = []
            for _ in range(SAMPLES):
                horns.append(self._horn(joint))
                self.pause(PERIOD_S / 4)
            if max(horns) - min(horns) > UNSTEADY_RAD:
                raise DeviceError(f"{joint.name} does not keep still", where=self.spec.name, right="hold it, and again")
            zeros.append(self._zero(joint, float(np.mean(horns)) - joint.sign * float(q)))
        return Calibration(self.spec.name, "posture", tuple(zeros))

    def _zero(self, joint: Joint, offset: float) -> ServoZero:
        return ServoZero(joint.name, joint.servo_id, self.model.number, joint.sign, round(offset, 5))

    def _offset(self, joint: Joint) -> float:
        self._gentle(joint)
        upper = self._stop(joint, joint.sign) - joint.sign * joint.upper
        lower = self._stop(joint, -joint.sign) - joint.sign * joint.lower
        self.said(
            f"{joint.name}: zero at {math.degrees(upper):.1f} by its upper stop, {math.degrees(lower):.1f} by its lower"
        )
        if abs(upper - lower) > self.config.disagree:
            what = f"{joint.name}: its stops lie {math.degrees(abs(upper - lower)):.0f} degrees from where they should"
            raise DeviceError(what, where=self.spec.name, right="nothing in its way; else --manual")
        offset = (upper + lower) / 2.0
        self._go(joint, offset + joint.sign * joint.home)
        self._write(joint, "torque_enable", 0)
        return offset

    def _gentle(self, joint: Joint) -> None:
        """One servo ready to move: current-based, weak, watched, at its own place."""
        configure(self.bus, self.model, self.profile, joint.servo_id, WATCHDOG_MS)
        self._write(joint, "operating_mode", CURRENT_BASED_POSITION_MODE)
        weak = self.config.torque * self.model.stall_torque / torque_per_unit(self.model)
        limit = self.bus.read(joint.servo_id, self.model.register("current_limit"))
        self._write(joint, "goal_current", max(1, min(round(weak), limit)))
        self._write(joint, "goal_position", pulse_of(self._horn(joint)))
        self._write(joint, "bus_watchdog", watchdog_units(WATCHDOG_MS))
        self._write(joint, "torque_enable", 1)

    def _stop(self, joint: Joint, direction: int) -> float:
        search = StopSearch(self._horn(joint), direction, self.config)
        while not search.over:
            search.step(self._horn(joint), PERIOD_S)
            self._drive(joint, search.goal)
        if search.stop is None:
            way = "upper" if direction == joint.sign else "lower"
            what = f"{joint.name} met no {way} stop in {self.config.reach:g} rad"
            raise DeviceError(what, where=self.spec.name, right="a joint with stops; else --manual")
        self._drive(joint, search.stop)
        return search.stop

    def _go(self, joint: Joint, horn: float) -> None:
        """Drive there at the pace of a search; a joint that does not arrive is left where it is."""
        at = self._horn(joint)
        for _ in range(round((abs(horn - at) / self.config.speed + SETTLE_S) / PERIOD_S)):
            at += float(np.clip(horn - at, -self.config.speed * PERIOD_S, self.config.speed * PERIOD_S))
            self._drive(joint, at)
            if abs(self._horn(joint) - horn) < UNSTEADY_RAD:
                return

    def _drive(self, joint: Joint, horn: float) -> None:
        register = self.model.register("goal_position")
        self.bus.write(joint.servo_id, register, int(np.clip(pulse_of(horn), 0, 4095)))
        self.pause(PERIOD_S)

    def _horn(self, joint: Joint) -> float:
        return angle_of(self.bus.read(joint.servo_id, self.model.register("present_position")))

    def _write(self, joint: Joint, name: str, value: int) -> None:
        self.bus.write_checked(joint.servo_id, self.model.register(name), value)

    def _limp(self) -> None:
        off = {joint.servo_id: 0 for joint in self.spec.joints}
        self.bus.sync_write(self.model.register("torque_enable"), off)
