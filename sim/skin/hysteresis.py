"""The memory of the elastomer: what its inside does when its surface is moved. Two kinds, one after the other.

Creep: a part of the displacement comes late, in two Kelvin elements, y = x + sum_i a_i h_i, tau_i h_i' = x - h_i.
It depends on time and fades.

Play: friction between filler and rubber, a Prandtl-Ishlinskii operator: the mean of play operators of growing reach r,
p(t) = max(x(t) - r, min(x(t) + r, p(t - dt))), mixed with x itself. It depends on the order of what happened alone, and
a closed cycle of x encloses an area (Krasnosel'skii and Pokrovskii, Systems with Hysteresis, 1989).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array

PLAYS = 4
"""Play operators, with reaches in equal steps."""


@dataclass(frozen=True)
class HysteresisConfig:
    """Sizes of both kinds: strong ones, as of a soft silicone full of magnetic powder."""

    creep_fast: float = setting(0.2, "share of the displacement that comes in the fast element", low=0.0, high=2.0)
    tau_fast: float = setting(0.25, "time constant of the fast element", low=1e-3, high=100.0, unit="s")
    creep_slow: float = setting(0.4, "share of the displacement that comes in the slow element", low=0.0, high=2.0)
    tau_slow: float = setting(5.0, "time constant of the slow element", low=1e-3, high=1000.0, unit="s")
    play_weight: float = setting(0.5, "share of the displacement that has play", low=0.0, high=1.0)
    play_reach: float = setting(8e-5, "reach of the widest play, at the surface", low=0.0, high=1e-2, unit="m")


def creep(x: Array, dt: float, config: HysteresisConfig) -> Array:
    """The displacement ``x`` (T, C), every ``dt`` s, with what comes late of it; its first row had been for ever."""
    y = x.copy()
    for share, tau in ((config.creep_fast, config.tau_fast), (config.creep_slow, config.tau_slow)):
        # Exact for an input that holds its value between samples.
        keep = np.exp(-dt / tau)
        y += share * (x[0] + lfilter([1.0 - keep], [1.0, -keep], x - x[0], axis=0))
    return y


def play(x: Array, reach: Array, weight: float) -> Array:
    """The displacement ``x`` (T, C) after play of at most ``reach`` (C,) in ``weight`` of it, from rest at first."""
    reaches = reach * (np.arange(1, PLAYS + 1) / PLAYS)[:, None]
    low, high = x[:, None, :] - reaches, x[:, None, :] + reaches
    lagging, p = np.empty_like(x), np.broadcast_to(x[0], reaches.shape)
    for t in range(len(x)):
        p = np.maximum(low[t], np.minimum(high[t], p))
        lagging[t] = p.sum(axis=0)
    return np.asarray((1.0 - weight) * x + weight / PLAYS * lagging)
