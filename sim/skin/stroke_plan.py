"""What the hand means to write: random, smooth, with changes of direction, pauses and lift-offs.

A stroke is a row of spans. In each the hand wants one velocity: it writes, pauses, or is lifted and moves on in the
air. Two first-order filters make the wanted velocity smooth, so that directions change without a stop. The force that
the hand means to press with and the tilt of its wrist wander slowly about their means. A stroke begins still and
lifted, so that its first samples are those of an unloaded skin, and then touches down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from knuckle.core.config import setting
from knuckle.core.errors import ConfigError
from knuckle.hardware.spec.hand_spec import Array

CHUNK_S = 0.2
"""Strokes last whole chunks: the times between two targets."""
LIFTED_FIRST_S = 0.4
_REDRAWS = 20


@dataclass(frozen=True)
class StrokeConfig:
    """How the hand writes."""

    shortest: float = setting(15.0, "shortest stroke", low=1.0, high=600.0, unit="s")
    longest: float = setting(30.0, "longest stroke", low=1.0, high=600.0, unit="s")
    slowest: float = setting(0.01, "lowest wanted speed while writing", low=0.0, high=1.0, unit="m/s")
    fastest: float = setting(0.09, "highest wanted speed while writing", low=0.001, high=1.0, unit="m/s")
    span_shortest: float = setting(0.25, "shortest span of one direction", low=0.05, high=60.0, unit="s")
    span_longest: float = setting(1.5, "longest span of one direction", low=0.05, high=60.0, unit="s")
    pauses: float = setting(0.12, "share of the spans in which the tip rests", low=0.0, high=0.5)
    lifts: float = setting(0.08, "share of the spans in which the tip is lifted", low=0.0, high=0.5)
    lifted_speed: float = setting(0.25, "speed of a lifted tip, of that of one that writes", low=0.0, high=1.0)
    lift_height: float = setting(3e-3, "height of a lifted tip", low=5e-4, high=0.05, unit="m")
    smooth: float = setting(0.06, "time constant of each of two filters", low=0.005, high=2.0, unit="s")
    half_side: float = setting(0.06, "half the side of the sheet that is written on", low=0.01, high=1.0, unit="m")
    force_low: float = setting(0.6, "lowest mean force of a stroke", low=0.05, high=20.0, unit="N")
    force_high: float = setting(1.6, "highest mean force of a stroke", low=0.05, high=20.0, unit="N")
    force_sway: float = setting(0.2, "deviation of the force within a stroke, of its mean", low=0.0, high=0.4)
    wrist: float = setting(3.0, "deviation of the wrist's tilts and turn", low=0.0, high=15.0, unit="deg")


@dataclass(frozen=True)
class StrokePlan:
    """Wanted motion, one row every ``dt`` s: ``place`` (T, 2) m, ``lift`` (T,) m above the sheet, ``force`` (T,) N,
    ``wrist`` (T, 3) rad about x, y and z."""

    dt: float
    place: Array
    lift: Array
    force: Array
    wrist: Array

    def __len__(self) -> int:
        return len(self.lift)


def draw_stroke(config: StrokeConfig, dt: float, rng: np.random.Generator) -> StrokePlan:
    """A stroke in steps of ``dt`` s, which is a whole part of a chunk. ConfigError where a longest is below a
    shortest."""
    for low, high in (("shortest", "longest"), ("slowest", "fastest"), ("span_shortest", "span_longest")):
        if getattr(config, low) > getattr(config, high):
            what = f"{getattr(config, high):g} is below {low} {getattr(config, low):g}"
            raise ConfigError(what, where=f"stroke.{high}", right=f"at least {low}")
    first, last = math.ceil(config.shortest / CHUNK_S - 1e-9), math.floor(config.longest / CHUNK_S + 1e-9)
    n = int(rng.integers(first, max(first, last) + 1)) * round(CHUNK_S / dt)
    velocity, lifted = _spans(config, dt, n, rng)
    velocity = _smooth(velocity, dt, config.smooth)
    lift = _smooth(np.where(lifted, config.lift_height, 0.0)[:, None], dt, 0.03, start=config.lift_height)[:, 0]
    mean = rng.uniform(config.force_low, max(config.force_low, config.force_high))
    force = mean * (1.0 + config.force_sway * np.clip(_wander(rng, n, 1, dt, 1.0)[:, 0], -2.0, 2.0))
    wrist = math.radians(config.wrist) * np.clip(_wander(rng, n, 3, dt, 2.0), -2.5, 2.5)
    return StrokePlan(dt, np.cumsum(velocity, axis=0) * dt, lift, force, wrist)


def _spans(config: StrokeConfig, dt: float, n: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
    """The wanted velocity (n, 2) and whether the tip is lifted (n,), span after span."""
    velocity, lifted = np.zeros((n, 2)), np.zeros(n, dtype=bool)
    at, place = round(LIFTED_FIRST_S / dt), np.zeros(2)
    lifted[:at] = True
    was_lifted = True
    while at < n:
        length = max(1, round(rng.uniform(config.span_shortest, config.span_longest) / dt))
        kind = rng.uniform()
        speed = rng.uniform(config.slowest, config.fastest)
        span = slice(at, at + length)
        if kind < config.pauses:
            speed = 0.0
        elif kind < config.pauses + config.lifts and not was_lifted:
            lifted[span] = True
            speed *= config.lifted_speed
        heading = _heading(config, place, speed * length * dt, rng)
        was_lifted = bool(lifted[at])
        end = np.clip(place + speed * length * dt * heading, -config.half_side, config.half_side)
        velocity[span] = (end - place) / (length * dt)
        place = end
        at += length
    return velocity, lifted


def _heading(config: StrokeConfig, place: Array, way: float, rng: np.random.Generator) -> Array:
    """A direction (2,) in which ``way`` m from ``place`` stay on the sheet; back to its middle where none is found."""
    for _ in range(_REDRAWS):
        angle = rng.uniform(-math.pi, math.pi)
        heading = np.array([math.cos(angle), math.sin(angle)])
        if np.abs(place + way * heading).max() <= config.half_side:
            return heading
    distance = float(np.linalg.norm(place))
    return -place / distance if distance > 0.0 else np.array([1.0, 0.0])


def _smooth(x: Array, dt: float, tau: float, start: float = 0.0) -> Array:
    """``x`` (n, C) through two first-order filters that had ``start`` for ever."""
    keep = math.exp(-dt / tau)
    for _ in range(2):
        x = start + lfilter([1.0 - keep], [1.0, -keep], x - start, axis=0)
    return np.asarray(x)


def _wander(rng: np.random.Generator, n: int, channels: int, dt: float, tau: float) -> Array:
    """Smooth noise (n, channels) of about unit deviation, which forgets within ``tau`` s, from its stationary state."""
    before = round(6.0 * tau / dt)
    white = rng.standard_normal((before + n, channels))
    # Two filters in a row leave dt / (4 tau) of the variance of white noise.
    return _smooth(white, dt, tau)[before:] / math.sqrt(dt / (4.0 * tau))
