"""Goals by rung: how far the goal is turned from where the object is, so that doing nothing scores zero.

Every goal of every rung is further away than the success threshold. `so3` is uniform over SO(3), drawn again where it
falls within that threshold of the start (0.3% of all rotations); nothing else of it is cut away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core import rotations
from knuckle.core.errors import unknown_name
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.reorient.success import SUCCESS_ANGLE


@dataclass(frozen=True)
class Rung:
    """A family of goals: turns by ``low`` to ``high`` rad, uniform, about ``axis``; ``so3`` is over all rotations."""

    name: str
    axis: Literal["vertical", "any", "so3"]
    low: float
    high: float


RUNGS: dict[str, Rung] = {
    rung.name: rung
    for rung in (
        Rung("yaw60", "vertical", math.radians(45.0), math.radians(75.0)),
        Rung("30", "any", math.radians(25.0), math.radians(45.0)),
        Rung("60", "any", math.radians(45.0), math.radians(75.0)),
        Rung("90", "any", math.radians(75.0), math.radians(105.0)),
        Rung("so3", "so3", SUCCESS_ANGLE, math.pi),
    )
}


def find_rung(name: str, *, where: str = "") -> Rung:
    """The rung called ``name``; InputError lists the known ones."""
    if name not in RUNGS:
        raise unknown_name("rung", name, RUNGS, where=where)
    return RUNGS[name]


def draw_goal(rung: str, start_quaternion: ArrayLike, rng: np.random.Generator, *, where: str = "") -> Array:
    """Goals (..., 4) for objects that lie as ``start_quaternion`` (..., 4), world frame.

    Axes are the world's: a `yaw60` goal is the start turned about the vertical, either way round. InputError for an
    unknown rung.
    """
    chosen = find_rung(rung, where=where)
    start = np.asarray(start_quaternion, dtype=np.float64)
    flat = start.reshape(-1, 4)
    goals = _uniform(flat, rng) if chosen.axis == "so3" else rotations.multiply(_turns(chosen, len(flat), rng), flat)
    return rotations.normalize(goals).reshape(start.shape)


def _turns(rung: Rung, n: int, rng: np.random.Generator) -> Array:
    """``n`` turns (n, 4) by angles uniform within the rung's bounds."""
    if rung.axis == "vertical":
        axes = np.zeros((n, 3))
        axes[:, 2] = rng.choice([-1.0, 1.0], n)
    else:
        axes = rng.standard_normal((n, 3))
        axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    return rotations.from_axis_angle(axes, rng.uniform(rung.low, rung.high, n))


def _uniform(start: Array, rng: np.random.Generator) -> Array:
    """Uniform rotations (n, 4), drawn again where they are within the success threshold of ``start`` (n, 4)."""
    goals = rotations.random(rng, len(start))
    while (near := rotations.angle_between(goals, start) <= SUCCESS_ANGLE).any():
        goals[near] = rotations.random(rng, int(near.sum()))
    return goals
