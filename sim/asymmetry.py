"""How far an object is from looking like itself after a turn: 0 for a symmetric one.

For surface samples p of the object and a rotation R about its centre of mass (which every symmetry of a uniform solid
fixes), d(R) = mean over p of |distance of R p to the surface|: 0 exactly where R maps the object onto itself.
The figure is the least d(R) over all R that turn by at least `MIN_ANGLE`, the largest angle at which reorientation is
scored: a smaller turn need not be told apart. Searched from a uniform grid, then refined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.object_shape import ObjectShape

MIN_ANGLE = 0.8
# Least mean distance, m, at which an object counts as asymmetric: the depth camera sees such a difference.
THRESHOLD = 2.5e-3


@dataclass(frozen=True)
class SelfDistance:
    """The least mean surface distance ``distance`` (m) and the rotation (w x y z) at which it is found."""

    distance: float
    quaternion: Array

    @property
    def asymmetric(self) -> bool:
        """Whether every turn of at least `MIN_ANGLE` shows."""
        return self.distance >= THRESHOLD


def self_distance(thing: ObjectShape, *, points: int = 400, grid: int = 1500, starts: int = 4) -> SelfDistance:
    """The least distance of ``thing`` to itself turned by at least `MIN_ANGLE`, from ``grid`` rotations on.

    Every second point ranks the grid; the best ``starts`` rotations, no two of them near each other, are refined with
    all ``points``.
    """
    cloud = thing.cloud(points)

    def mean_distance(samples: Array, turns: Array) -> Array:
        moved = samples @ np.swapaxes(rotations.to_matrix(turns), -1, -2)
        return np.asarray(np.abs(thing.distance(moved)).mean(axis=1))

    def cost(turns: Array) -> Array:
        return mean_distance(cloud, turns)

    candidates = rotation_grid(grid)
    candidates = candidates[rotations.angle_between(rotations.IDENTITY, candidates) >= MIN_ANGLE]
    found = np.concatenate([mean_distance(cloud[::2], part) for part in np.array_split(candidates, 10)])
    best = SelfDistance(np.inf, rotations.IDENTITY)
    for start in _apart(candidates[np.argsort(found)], starts):
        refined = _refine(cost, start)
        if refined.distance < best.distance:
            best = refined
    return best


def _apart(ranked: Array, n: int, least: float = 0.5) -> list[Array]:
    """The first ``n`` of ``ranked`` rotations, each at least ``least`` rad from those before it."""
    chosen: list[Array] = []
    for turn in ranked:
        if all(rotations.angle_between(turn, other) >= least for other in chosen):
            chosen.append(turn)
            if len(chosen) == n:
                break
    return chosen


def require_asymmetric(thing: ObjectShape) -> SelfDistance:
    """The figure of ``thing``, or InputError where some turn maps it (nearly) onto itself."""
    figure = self_distance(thing)
    if not figure.asymmetric:
        raise InputError(
            f"object {thing.name} looks like itself after a turn (mean distance {1e3 * figure.distance:.2f} mm)",
            where="object",
            right=f"at least {1e3 * THRESHOLD:g} mm: an orientation goal would have two answers",
        )
    return figure


def rotation_grid(n: int) -> Array:
    """``n`` rotations spread evenly over SO(3), (n, 4) w x y z: the super-Fibonacci spiral (Alexa, CVPR 2022)."""
    i = np.arange(n) + 0.5
    inner, outer = np.sqrt(i / n), np.sqrt(1.0 - i / n)
    phi, psi = np.sqrt(2.0), 1.533751168755204288118041
    a, b = 2.0 * np.pi * i / phi, 2.0 * np.pi * i / psi
    return np.stack([outer * np.cos(b), inner * np.sin(a), inner * np.cos(a), outer * np.sin(b)], axis=1)


def _refine(cost: Callable[[Array], Array], start: Array) -> SelfDistance:
    """Descend from ``start``; steps inside the excluded ball are pushed back to its border."""

    def turned(rotvec: Array) -> Array:
        q = rotations.multiply(start, rotations.exp(rotvec))
        angle = float(rotations.angle_between(rotations.IDENTITY, q))
        if angle >= MIN_ANGLE:
            return q
        v = rotations.log(q)
        return rotations.exp(v / max(angle, 1e-9) * MIN_ANGLE)

    def objective(rotvec: Array) -> float:
        return float(cost(turned(rotvec)[None])[0])

    simplex = 0.15 * np.vstack([np.zeros(3), np.eye(3)])
    result = minimize(objective, np.zeros(3), method="Nelder-Mead", tol=1e-4, options={"initial_simplex": simplex})
    return SelfDistance(float(result.fun), turned(np.asarray(result.x)))
