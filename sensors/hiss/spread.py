"""What a network's own deviations are multiplied by, so that its regions hold what they promise.

    covariance = factor^2 L L',     factor = temperature sqrt(1 + |z|^2 / growth^2)

L is the network's factor and z its mean, in units of the normalised targets. What moves faster than all that taught is
known worse than the network thinks; what moves like it is not. A growth of infinity leaves one number, the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import InputError
from knuckle.sensors.hiss import gaussian_factors
from knuckle.sensors.hiss.coverage import Array, temperature_of

GROWTHS = (*np.geomspace(0.1, 100.0, 121).tolist(), math.inf)
"""What is tried for the growth."""


@dataclass(frozen=True)
class Misses:
    """How far off a network's means were: ``squared`` (n,) Mahalanobis distances by its own L, and ``size`` (n,), the
    norms |z| of the means, both in units of the normalised targets."""

    squared: Array
    size: Array


@dataclass(frozen=True)
class Spread:
    """The factor of all deviations; see the file's equation."""

    temperature: float = 1.0
    growth: float = math.inf

    def factor(self, mean: Array) -> Array:
        """The factor (...,) of estimates with ``mean`` (..., T), in units of the normalised targets."""
        return self.temperature * np.sqrt(self._widening(np.linalg.norm(mean, axis=-1)))

    def distances(self, misses: Misses) -> Array:
        """Squared Mahalanobis distances (n,) by the covariance that is given out."""
        return misses.squared / (self.temperature**2 * self._widening(misses.size))

    def _widening(self, size: Array) -> Array:
        return 1.0 + np.square(np.asarray(size, dtype=np.float64) / self.growth)


def misses_of(raw: Array, target: Array) -> Misses:
    """How far off outputs ``raw`` (n, P) of a network are from normalised ``target`` (n, T)."""
    return Misses(gaussian_factors.distances(raw, target), np.linalg.norm(gaussian_factors.factors(raw)[0], axis=-1))


def spread_of(misses: Misses, targets: int) -> Spread:
    """The one temperature that fits ``misses`` of ``targets`` numbers best."""
    return Spread(temperature_of(misses.squared, targets))


def widest_spread(groups: Mapping[str, Misses], targets: int) -> tuple[str, Spread]:
    """The spread of kinds of motion that a network has not seen, and the group that needs all of it.

    The growth is the likeliest for all groups, each with the same weight; the temperature is then the widest that one
    of them needs. Groups without a scored target are passed by; InputError where none has one.
    """
    scored = {name: own for name, own in groups.items() if len(own.squared)}
    if not scored:
        raise InputError("no target is scored", where="--left_out", right="recordings with movement")
    growth = min(GROWTHS, key=lambda g: _surprise(scored.values(), g, targets))
    needed = {name: temperature_of(Spread(1.0, growth).distances(own), targets) for name, own in scored.items()}
    name = max(needed, key=needed.__getitem__)
    return name, Spread(needed[name], growth)


def _surprise(groups: Iterable[Misses], growth: float, targets: int) -> float:
    """Twice the mean -log likelihood a target at this growth and its best temperature, but for what is constant."""
    widths = [Spread(1.0, growth).factor(own.size[:, None]) for own in groups]
    left = [float(np.mean(own.squared / width**2)) / targets for own, width in zip(groups, widths, strict=True)]
    return math.log(max(float(np.mean(left)), 1e-300)) + float(np.mean([np.mean(2.0 * np.log(w)) for w in widths]))
