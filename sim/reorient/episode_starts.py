"""Where episodes of a batch begin: stable states from the cache, or a fresh drop on the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.mounts import workplace_height
from knuckle.sim.placement import draw_start
from knuckle.sim.reorient.stable_starts import SETTLING_S, StableStarts
from knuckle.sim.reorient.start_cache import cached_starts
from knuckle.sim.reorient.stepper import Stepper
from knuckle.sim.scene import Scene


class EpisodeStarts:
    """Draws start states for worlds of ``stepper``; ``nominal`` are the scenes of its objects before randomisation.

    ``kind`` is settled, grasp, mixed (either) or table (a random placement, then 1 s of settling in the world's own
    physics). An object that was never grasped stably starts at rest on the table.
    """

    def __init__(
        self,
        kind: str,
        nominal: list[Scene],
        stepper: Stepper,
        *,
        count: int,
        seed: int,
        threads: int,
        folder: Path | None,
        remake: bool,
    ) -> None:
        self.kind, self.stepper = kind, stepper
        hand = nominal[0].hand
        if kind == "table" and hand.palm_up:
            what = f"the palm of hand {hand.name} faces up: of what is dropped on it, some falls off"
            raise InputError(what, where="starts", right="settled, grasp or mixed")
        self._support = workplace_height(hand)
        self._of_world = [k % len(nominal) for k in range(len(stepper.scenes))]
        self._nominal = nominal
        self._scratch = [scene.new_data() for scene in nominal] if kind == "table" else []
        self._stable: list[StableStarts] = []
        if kind != "table":
            options = {"count": count, "seed": seed, "threads": threads}
            self._stable = [cached_starts(scene, folder=folder, remake=remake, **options) for scene in nominal]

    def draw(self, worlds: NDArray[np.intp], scale: Array, rng: np.random.Generator) -> Array:
        """Start states (n, nstate) at time 0 for ``worlds``, whose objects are ``scale`` (n,) times as large.

        An object of another size keeps its place on the table or palm: its centre lies higher or lower in proportion.
        """
        if self.kind == "table":
            states = self._dropped(worlds, rng)
        else:
            states = np.stack([self._one(self._stable[self._of_world[world]], rng) for world in worlds])
            height = 1 + self.stepper.scenes[0].object_q.start + 2
            states[:, height] = (states[:, height] - self._support) * scale + self._support
        states[:, 0] = 0.0
        return states

    def held(self, worlds: NDArray[np.intp], rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
        """States (n, nstate) of grasps that hold their object without the table, and where (n,) there are any; a
        resting pose where there is none. InputError for starts of kind table, which know no grasps."""
        if not self._stable:
            raise InputError("starts on the table know no grasps", where="held_share", right="settled, grasp or mixed")
        states, holds = np.zeros((len(worlds), self.stepper.states.shape[1])), np.zeros(len(worlds), dtype=bool)
        for k, world in enumerate(worlds):
            stable = self._stable[self._of_world[world]]
            pool = stable.grasps[stable.in_air]
            holds[k] = len(pool) > 0
            states[k] = pool[rng.integers(len(pool))] if holds[k] else stable.settled[0]
        states[:, 0] = 0.0
        return states, holds

    def _one(self, stable: StableStarts, rng: np.random.Generator) -> Array:
        from_grasps = self.kind == "grasp" or (self.kind == "mixed" and rng.random() < 0.5)
        pool = stable.grasps if from_grasps and len(stable.grasps) else stable.settled
        return np.asarray(pool[rng.integers(len(pool))])

    def _dropped(self, worlds: NDArray[np.intp], rng: np.random.Generator) -> Array:
        objects = [self._of_world[world] for world in worlds]
        states = np.stack([draw_start(self._nominal[k], self._scratch[k], rng) for k in objects])
        home = np.tile(self._nominal[0].hand.home, (len(worlds), 1))
        return self.stepper.roll(worlds, states, home, SETTLING_S)
