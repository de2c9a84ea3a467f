"""The last control steps of all worlds, to learn from again and again, and where an object came to lie after each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.hindsight.transitions import Transitions
from knuckle.sim.reorient.observation import ReorientObservation

_ARRAYS = ("before", "actions", "after", "fallen", "episode")
NO_EPISODE = -1
"""The number of an episode from which nothing is taken in hindsight."""


class Replay:
    """A ring of ``steps`` control steps of ``worlds`` worlds; ``count`` were ever added. Longer than any episode."""

    def __init__(self, build: ReorientObservation, steps: int, worlds: int) -> None:
        self.steps, self.worlds, self.count = steps, worlds, 0
        self._lies = build.slices["object_quaternion"]
        self.before = np.zeros((steps, worlds, build.width), np.float32)
        self.after = np.zeros((steps, worlds, build.width), np.float32)
        self.actions = np.zeros((steps, worlds, build.hand.dof), np.float32)
        self.episode = np.full((steps, worlds), NO_EPISODE, np.int64)
        self.fallen = np.zeros((steps, worlds), bool)

    @property
    def filled(self) -> int:
        """Control steps that it holds."""
        return min(self.count, self.steps)

    def add(
        self,
        before: NDArray[Any],
        actions: NDArray[Any],
        after: NDArray[Any],
        fallen: NDArray[np.bool_],
        episode: NDArray[np.int64],
    ) -> None:
        """Add one control step of all worlds: arrays (worlds, ...). ``episode`` (worlds,) are numbers that never come
        again, or `NO_EPISODE`. The oldest step goes where the ring is full."""
        row = self.count % self.steps
        self.before[row], self.actions[row], self.after[row] = before, actions, after
        self.fallen[row], self.episode[row] = fallen, episode
        self.count += 1

    def draw(self, rng: np.random.Generator, n: int, future: int) -> Transitions:
        """``n`` transitions, uniform, and how the object lay 1 to ``future`` control steps later in their episodes."""
        row, world = rng.integers(0, self.filled, n), rng.integers(0, self.worlds, n)
        ahead = (row + rng.integers(1, future + 1, n)) % self.steps
        known = (self.episode[ahead, world] == self.episode[row, world]) & (self.episode[row, world] != NO_EPISODE)
        later = self.before[ahead, world, self._lies]
        return Transitions(
            self.before[row, world],
            self.actions[row, world],
            self.after[row, world],
            self.fallen[row, world],
            later,
            known,
        )

    def capture(self) -> dict[str, Any]:
        """The arrays of the steps that it holds, by name, not copied."""
        return {name: getattr(self, name)[: self.filled] for name in _ARRAYS}

    def restore(self, arrays: dict[str, Any], count: int) -> None:
        """Hold what was captured when ``count`` steps had been added; InputError where it does not fit."""
        filled = min(count, self.steps)
        for name in _ARRAYS:
            place, stored = getattr(self, name), arrays.get(name)
            if stored is None or stored.shape != (filled, *place.shape[1:]):
                found = "nothing" if stored is None else f"shape {stored.shape}"
                right = f"an array {(filled, *place.shape[1:])}"
                raise InputError(f"{found} for {name}", where="replay", right=right)
            place[:filled] = stored
        self.count = count
