"""Registers of a servo to what they mean for its joint, and back. Angles go through the hand's calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.dynamixel_table import (
    CENTRE_PULSE,
    PULSES_PER_TURN,
    RAD_PER_PULSE,
    RAD_PER_S_PER_UNIT,
    ServoModel,
)
from knuckle.hardware.spec.hand_spec import Array

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class JointScale:
    """How servo ``horn = offset + sign * joint`` (rad) for each joint, arrays (dof,), and what its current does.

    ``torque_per_unit`` is N m for one unit of current; it leaves out what the gears lose.
    """

    sign: Array
    offset: Array
    torque_per_unit: float

    def joint(self, pulses: NDArray[np.integer]) -> Array:
        """Joint angles, rad, of positions in pulses."""
        return self.sign * ((pulses - CENTRE_PULSE) * RAD_PER_PULSE - self.offset)

    def pulses(self, joint: Array) -> Ints:
        """Positions in pulses, rounded and within one turn, of joint angles in rad."""
        horn = self.offset + self.sign * joint
        pulses: Ints = np.clip(CENTRE_PULSE + np.rint(horn / RAD_PER_PULSE), 0, PULSES_PER_TURN - 1).astype(np.int64)
        return pulses

    def velocity(self, units: NDArray[np.integer]) -> Array:
        """Joint velocities, rad/s."""
        return self.sign * units * RAD_PER_S_PER_UNIT

    def effort(self, units: NDArray[np.integer]) -> Array:
        """Joint torques, N m, of present currents."""
        return self.sign * units * self.torque_per_unit


def torque_per_unit(model: ServoModel) -> float:
    """N m for one unit of current of ``model``."""
    return model.ampere_per_unit * model.torque_per_ampere
