"""How much of its torque each joint may use while torque goes on or off. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.spec.hand_spec import Array

Mask = NDArray[np.bool_]


class TorqueRamp:
    """``share`` (dof,) goes from ``ramp_floor`` to 1 in ``ramp_s`` and back in ``release_s``; 0 where torque is off."""

    def __init__(self, dof: int, config: DriveConfig) -> None:
        self._config = config
        self.share: Array = np.zeros(dof)

    @property
    def on(self) -> Mask:
        """Joints that have torque."""
        return self.share > 0.0

    def turned_on(self, joints: Mask) -> None:
        """Torque went on for ``joints``; those that had it keep their share."""
        floor = max(self._config.ramp_floor, 1e-3)
        self.share = np.where(joints & ~self.on, floor, self.share)

    def turned_off(self, joints: Mask) -> None:
        """Torque went off for ``joints``, at once."""
        self.share = np.where(joints, 0.0, self.share)

    def advance(self, dt_s: float, *, releasing: bool) -> None:
        """Let ``dt_s`` pass, up or, where ``releasing``, down. Neither end goes beyond its bound."""
        floor = max(self._config.ramp_floor, 1e-3)
        span = self._config.release_s if releasing else self._config.ramp_s
        step = (1.0 - floor) * dt_s / span if span > 0.0 else 1.0
        moved = np.clip(self.share - step, floor, 1.0) if releasing else np.minimum(self.share + step, 1.0)
        self.share = np.where(self.on, moved, 0.0)

    @property
    def down(self) -> bool:
        """Whether every joint with torque is at the low end: torque may go off."""
        return bool((self.share[self.on] <= max(self._config.ramp_floor, 1e-3) + 1e-9).all())
