"""A Kalman filter of one point in space, for any times between its observations: how fast does a tracked thing move?

White acceleration of spectral density q on each axis by itself (Bar-Shalom, Li and Kirubarajan 2001, section 6.2.2):
over a time t the position's variance grows by q t^3 / 3, the velocity's by q t and their covariance by q t^2 / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array


@dataclass(frozen=True)
class CentreConfig:
    """How well a centre is seen, and how a thing may move, for one that is 0.1 m wide."""

    noise_m: float = setting(0.006, "deviation of a seen centre", low=1e-5, high=1.0, unit="m")
    wander: float = setting(0.4, "what a speed changes by in one second", low=1e-3, high=100.0, unit="m/s")
    speed: float = setting(0.5, "speed of what was seen once, each axis", low=1e-3, high=100.0, unit="m/s")


class CentreFilter:
    """One thing's centre and velocity; ``unit`` scales all lengths of the config (1 for metres).

    ``noise`` is the variance of each coordinate of an observation.
    """

    def __init__(self, stamp_ns: int, centre: Array, config: CentreConfig = CentreConfig(), unit: float = 1.0) -> None:
        self.stamp_ns = stamp_ns
        self.centre, self.velocity = np.array(centre, dtype=np.float64), np.zeros(3)
        self._config = config
        self.rescale(unit)
        # Of position, of both, of velocity: the same for all three axes, which are seen alike and never mixed.
        self._pp, self._pv, self._vv = self.noise, 0.0, (unit * config.speed) ** 2

    @property
    def position_variance(self) -> float:
        """The variance of each coordinate of ``centre``."""
        return self._pp

    @property
    def velocity_variance(self) -> float:
        """The variance of each coordinate of ``velocity``."""
        return self._vv

    def rescale(self, unit: float) -> None:
        """Count lengths of the config in ``unit`` from now on: a thing of an image grows as it comes near."""
        self.noise, self._density = (unit * self._config.noise_m) ** 2, (unit * self._config.wander) ** 2

    def go(self, stamp_ns: int) -> None:
        """Predict to ``stamp_ns``; a time before that of the state changes nothing."""
        t = (stamp_ns - self.stamp_ns) * 1e-9
        if t <= 0.0:
            return
        self.stamp_ns = stamp_ns
        self.centre = self.centre + t * self.velocity
        q = self._density
        self._pp += t * (2.0 * self._pv + t * self._vv) + q * t**3 / 3.0
        self._pv += t * self._vv + q * t**2 / 2.0
        self._vv += q * t

    def see(self, centre: Array) -> None:
        """Take an observation of the centre (3,) at the state's time."""
        surprise = np.asarray(centre, dtype=np.float64) - self.centre
        total = self._pp + self.noise
        gain, gain_v = self._pp / total, self._pv / total
        self.centre = self.centre + gain * surprise
        self.velocity = self.velocity + gain_v * surprise
        self._vv -= gain_v * self._pv
        self._pv *= 1.0 - gain
        self._pp *= 1.0 - gain
