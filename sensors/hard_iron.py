"""What is magnetic and turns with the sensor, found while it turns: hard iron, or a magnet that somebody attached.

With the orientation R (sensor to earth, heading free) from gyroscope and accelerometer, a magnetometer reads

    m = R^T h + b + noise,

h the field of the place, b that of what turns along. Both enter linearly, so a Kalman filter of six states finds them,
each a random walk: constancy of |m - b| and of its dip follow where h keeps still, without being asked for. Two things
make it fit for a room: while its innovations are larger than its noise the walks run faster, so that a magnet that is
attached or taken off is learned anew; and b walks only while the sensor turns, since at rest nothing tells b from h.

b is believed by comparison. A rival that knows no b follows the field of the place with a time constant of its own. The
mean squares of both innovations, taken while the sensor turns, are compared: only where the filter's are a small part
of the rival's does b explain what is seen. In a field that changes from place to place both are wrong, in a clean one
both are right, and in either case nothing is corrected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from knuckle.core import rotations
from knuckle.core.config import setting
from knuckle.sensors.estimator import Array

_UT_PER_T = 1e6
_MOST = 100.0  # of the innovations' mean square, in noises: one reading near iron must not be remembered for long


@dataclass(frozen=True)
class HardIronConfig:
    """The filter's noises and when it is believed."""

    period_s: float = setting(0.07, "time between two updates", low=1e-4, high=1.0, unit="s")
    noise: float = setting(4.0, "noise of a reading, with what the room adds", low=0.01, high=100.0, unit="uT")
    field_walk: float = setting(0.3, "walk of the place's field", low=0.0, high=100.0, unit="uT/sqrt(s)")
    iron_walk: float = setting(0.3, "walk of b, while it turns", low=0.0, high=100.0, unit="uT/sqrt(s)")
    iron_first: float = setting(5.0, "deviation of b at first", low=0.0, high=1000.0, unit="uT")
    surprise: float = setting(2.0, "mean square innovation, of the noise's, that is too large", low=1.0, high=100.0)
    surprise_s: float = setting(0.5, "time over which that mean is taken", low=0.01, high=100.0, unit="s")
    field_boost: float = setting(1.0, "how much faster the field walks then", low=1.0, high=1000.0)
    iron_boost: float = setting(50.0, "how much faster b walks then", low=1.0, high=1000.0)
    turning: float = setting(1.0, "rate from which the sensor turns well enough", low=1e-3, high=100.0, unit="rad/s")
    rival_s: float = setting(3.0, "time constant of the rival", low=0.01, high=100.0, unit="s")
    compare_s: float = setting(1.5, "time over which the two are compared", low=0.01, high=100.0, unit="s")
    floor: float = setting(1.0, "innovation that says nothing", low=0.01, high=100.0, unit="uT")
    believed: float = setting(0.7, "share of the rival's mean square from which on b counts", low=0.0, high=1.0)


class HardIron:
    """Fed readings every ``period_s`` of time; `bias` is what to take off a reading. O(1) in time and memory."""

    def __init__(self, config: HardIronConfig = HardIronConfig()) -> None:
        c = self.config = config
        self.bias = np.zeros(3)
        self._x = np.zeros(6)
        self._p = np.diag([60.0**2] * 3 + [c.iron_first**2] * 3)
        self._rival = np.zeros(3)
        self._started = False
        self._surprise, self._ours, self._theirs = 1.0, 1e-9, 1e-9

    def observe(self, orientation: Array, mag: Array, rate: float) -> None:
        """Take a reading ``mag`` (3,) T of a sensor at ``orientation`` (4,), w x y z, turning at ``rate`` rad/s."""
        c, dt = self.config, self.config.period_s
        m, back = _UT_PER_T * mag, rotations.to_matrix(rotations.conjugate(orientation))
        if not self._started:
            self._started = True
            self._x[:3] = self._rival = back.T @ m
        turns = min(1.0, rate / c.turning)
        fast = self._surprise > c.surprise
        walk_h = (c.field_walk * (c.field_boost if fast else 1.0)) ** 2 * dt
        walk_b = (c.iron_walk * (c.iron_boost if fast else 1.0)) ** 2 * dt * turns
        self._p[range(6), range(6)] += [walk_h] * 3 + [walk_b] * 3
        to_m = np.concatenate([back, np.eye(3)], axis=1)
        y, y_rival = m - to_m @ self._x, m - back @ self._rival
        mean, mean_rival = float(y @ y) / 3.0, float(y_rival @ y_rival) / 3.0
        self._rival = self._rival + _share(dt, c.rival_s) * (back.T @ y_rival)
        self._surprise += _share(dt, c.surprise_s) * (min(mean / c.noise**2, _MOST) - self._surprise)
        share = _share(dt, c.compare_s) * turns
        self._ours += share * (mean - self._ours)
        self._theirs += share * (mean_rival - self._theirs)
        across = self._p @ to_m.T
        gain = across @ np.linalg.inv(to_m @ across + c.noise**2 * np.eye(3))
        self._x = self._x + gain @ y
        p = self._p - gain @ across.T
        self._p = 0.5 * (p + p.T)
        self.bias = self._belief() * self._x[3:] / _UT_PER_T

    def values(self) -> dict[str, Any]:
        """All that later calls depend on, as plain numbers."""
        return {
            "started": self._started,
            "x": self._x.tolist(),
            "p": self._p.reshape(-1).tolist(),
            "rival": self._rival.tolist(),
            "bias": self.bias.tolist(),
            "means": [self._surprise, self._ours, self._theirs],
        }

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Go on from what `values` gave, bit for bit."""
        self._started = values["started"]
        self._x, self._rival, self.bias = (np.array(values[k], dtype=np.float64) for k in ("x", "rival", "bias"))
        self._p = np.array(values["p"], dtype=np.float64).reshape(6, 6)
        self._surprise, self._ours, self._theirs = (float(v) for v in values["means"])

    def _belief(self) -> float:
        """How far b is believed, from 0 to 1."""
        c = self.config
        ratio = (self._ours + c.floor**2) / (self._theirs + c.floor**2)
        return min(1.0, max(0.0, (c.believed - ratio) / (0.5 * c.believed))) if c.believed > 0.0 else 0.0


def _share(dt: float, tau: float) -> float:
    return 1.0 - math.exp(-dt / tau)
