"""Kicks: now and then a force on the object that fades away (row ``random_force`` of the table)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.reorient.randomisation import Row


class RandomForce:
    """The force (N, 3) in N, world frame, on each world's object.

    Each step it keeps ``decay ** (step / interval)`` of itself, or with ``probability`` is replaced by one of
    ``magnitude`` m/s^2 times the object's mass in a uniform direction.
    """

    def __init__(self, row: Row, worlds: int, step_s: float) -> None:
        self.probability, self.magnitude, decay, interval = row.parameters
        self.kept = decay ** (step_s / interval)
        self.force: Array = np.zeros((worlds, 3))

    def reset(self, worlds: NDArray[np.intp]) -> None:
        """No force on ``worlds``."""
        self.force[worlds] = 0.0

    def step(self, mass: Array, rng: np.random.Generator) -> Array:
        """The force of this control step on objects of ``mass`` (N,) kg."""
        self.force *= self.kept
        kicked = np.flatnonzero(rng.random(len(mass)) < self.probability)
        direction = rng.standard_normal((len(kicked), 3))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        self.force[kicked] = direction * (self.magnitude * mass[kicked])[:, None]
        return self.force
