"""Domain randomisation as one table: what is varied, how it is drawn, what it touches (Visual Dexterity, table S3).

What MuJoCo has otherwise than the engine of the paper:
- Friction of a contact is the larger of its two geometries' (the paper's engine takes their mean). The object's own
  sliding friction is therefore set to nothing, and what is drawn for the hand and for the table is the friction of the
  object's contact with them, exactly. Twisting and rolling friction stay as they are.
- There is no coefficient of restitution: contacts are springs and dampers (`solref`), and none here bounces. The
  paper's row for restitution, uniform in 0 to 1, is left out.
- The object's mass is drawn uniformly over the paper's range, whatever the object weighs; its inertia follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.hand_spec import Array

Distribution = Literal["uniform", "gaussian", "kicks"]
When = Literal["episode", "step"]
How = Literal["times", "is", "plus"]


@dataclass(frozen=True)
class Row:
    """One thing that is varied.

    ``parameters``: uniform low and high, gaussian mean and deviation, kicks as `random_force` has them. ``how``: the
    nominal value is multiplied by, replaced by, or added to what is drawn, anew each episode or each control step.
    """

    name: str
    distribution: Distribution
    parameters: tuple[float, ...]
    how: How
    when: When
    touches: str

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Values of ``shape``; kicks are drawn by `random_force` alone."""
        first, second = self.parameters[:2]
        if self.distribution == "uniform":
            return np.asarray(rng.uniform(first, second, shape))
        if self.when == "step":
            # Noise: much of it, and single precision is drawn in half the time.
            noise = rng.standard_normal(shape, dtype=np.float32)
            noise *= np.float32(second)
            return np.asarray(noise if first == 0.0 else noise + first)
        return np.asarray(rng.normal(first, second, shape))


# Kicks: probability a step, force in m/s^2 of the object's mass, share kept over an interval, the interval in s. As in
# the released code they act for 1/60 s in each control step: a fifth of the number on average.
TABLE: tuple[Row, ...] = (
    Row("observation_noise", "gaussian", (0.0, 0.002), "plus", "step", "every column of the observation"),
    Row("action_noise", "gaussian", (0.0, 0.05), "plus", "step", "each joint's action before smoothing"),
    Row("action_offset", "gaussian", (0.0, 0.015), "plus", "episode", "each joint's action before smoothing"),
    Row("stiffness", "uniform", (0.8, 1.2), "times", "episode", "each servo's stiffness"),
    Row("damping", "uniform", (0.8, 1.2), "times", "episode", "each servo's damping, active and passive"),
    Row("link_mass", "uniform", (0.8, 1.2), "times", "episode", "mass and inertia of each link of the hand"),
    Row("hand_friction", "uniform", (0.24, 1.6), "is", "episode", "sliding friction of the hand on the object"),
    Row("table_friction", "uniform", (0.05, 1.0), "is", "episode", "sliding friction of the table on the object"),
    Row("object_scale", "uniform", (0.95, 1.05), "times", "episode", "the object's size about its centre"),
    Row("object_mass", "uniform", (0.009, 0.324), "is", "episode", "the object's mass in kg, and its inertia"),
    Row("gravity", "gaussian", (0.0, 0.4), "plus", "episode", "each component of gravity, m/s^2"),
    Row("random_force", "kicks", (0.2, 15.0, 0.99, 0.08), "plus", "step", "a force on the object's centre"),
)


@dataclass(frozen=True)
class Randomisation:
    """The rows in force: `DEFAULT` is the whole table, `OFF` none of it."""

    rows: tuple[Row, ...] = TABLE

    def row(self, name: str) -> Row | None:
        """The row called ``name``, None where it is not in force; InputError for a name that the table lacks."""
        _known(name)
        return next((row for row in self.rows if row.name == name), None)

    def without(self, *names: str) -> Randomisation:
        """All but ``names``."""
        for name in names:
            _known(name)
        return Randomisation(tuple(row for row in self.rows if row.name not in names))

    def with_parameters(self, name: str, *parameters: float) -> Randomisation:
        """The same with other ``parameters`` of one row, which is put in force if it was not."""
        row = _known(name)
        if len(parameters) != len(row.parameters) or not np.isfinite(parameters).all():
            right = f"{len(row.parameters)} finite numbers"
            raise InputError(f"parameters {parameters}", where=f"randomisation {name}", right=right)
        if row.distribution == "uniform" and parameters[0] > parameters[1]:
            raise InputError(f"parameters {parameters}", where=f"randomisation {name}", right="low, then high")
        changed = replace(row, parameters=tuple(parameters))
        kept = {row.name: row for row in self.rows} | {name: changed}
        return Randomisation(tuple(kept[row.name] for row in TABLE if row.name in kept))


OFF = Randomisation(())
DEFAULT = Randomisation()
NAMED: dict[str, Randomisation] = {"off": OFF, "default": DEFAULT}


def randomisation(name: str, *, where: str = "") -> Randomisation:
    """``off`` or ``default``; InputError for another name."""
    if name not in NAMED:
        raise unknown_name("randomisation", name, NAMED, where=where)
    return NAMED[name]


def _known(name: str) -> Row:
    for row in TABLE:
        if row.name == name:
            return row
    raise unknown_name("randomisation row", name, (row.name for row in TABLE), where="randomisation")
