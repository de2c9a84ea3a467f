"""The way to a standstill when the commander is late: targets that decelerate to HOLD.

A joint that moves at dq from q when the ramp of T seconds begins comes to rest, evenly decelerated, along

    q(t) = q + dq (t - t^2 / 2T)

Targets follow that, cut to what lies between the measured posture and the last target: a joint neither runs past where
it was sent nor into a direction nobody asked for.
"""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.contracts import HandState
from knuckle.hardware.spec.hand_spec import Array, HandSpec


class WindDown:
    """The ramp that begins at ``start_ns`` from the posture ``measured`` and the last target ``target`` (dof,), rad."""

    def __init__(self, spec: HandSpec, start_ns: int, ramp_s: float, measured: HandState, target: Array) -> None:
        self._start_ns, self._ramp_s = start_ns, ramp_s
        self._q = np.clip(measured.q, spec.lower, spec.upper)
        self._dq = np.clip(measured.dq, -spec.velocity_limit, spec.velocity_limit)
        self._low, self._high = np.minimum(self._q, target), np.maximum(self._q, target)

    def over(self, now_ns: int) -> bool:
        """Whether the joints should stand still by now."""
        return now_ns - self._start_ns >= self._ramp_s * 1e9

    def target(self, now_ns: int) -> Array:
        """Targets (dof,), rad, at ``now_ns``; from the ramp's end on those of its end."""
        t = min((now_ns - self._start_ns) * 1e-9, self._ramp_s)
        way = self._q + self._dq * (t - t * t / (2.0 * self._ramp_s))
        return np.asarray(np.clip(way, self._low, self._high))
