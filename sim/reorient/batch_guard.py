"""The guard of many worlds: one whose numbers left the sane range is saved and put back, and too many end the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import RunError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco
from knuckle.sim.reorient.stepper import Stepper
from knuckle.sim.state_guard import SANE, write_fault

MOST_FILES = 8
SHARE = 0.03
FEWEST = 4


class BatchGuard:
    """Watches ``stepper``. ``broken`` counts the worlds that broke; files of the first ones go to ``folder``."""

    def __init__(self, stepper: Stepper, folder: Path) -> None:
        self.stepper, self.folder = stepper, folder
        self.broken = 0
        self.episodes = 0

    def check(self, target: Array, force: Array | None) -> NDArray[np.bool_]:
        """Which worlds (N,) broke in the step just done; they are back where they were before it.

        RunError, with the first states saved, when more than 3% of the episodes begun have broken.
        """
        states = self.stepper.states
        broken: NDArray[np.bool_] = ~(np.abs(states).max(axis=1) < SANE)
        if not broken.any():
            return broken
        names = [self._save(int(world), target, force) for world in np.flatnonzero(broken)]
        states[broken] = self.stepper.before[broken]
        if self.broken > max(FEWEST, SHARE * self.episodes):
            raise RunError(
                f"{self.broken} of {self.episodes} episodes broke down: {names[0]}",
                where="batch world",
                right=f"states in {self.folder}; a shorter physics step, or narrower randomisation",
            )
        return broken

    def _save(self, world: int, target: Array, force: Array | None) -> str:
        """Save the first few broken worlds, model and all, so that each can be stepped again; what broke where."""
        self.broken += 1
        scene, before, after = self.stepper.scenes[world], self.stepper.before[world], self.stepper.states[world]
        if self.broken <= MOST_FILES:
            model = np.empty(mujoco.mj_sizeModel(scene.model), np.uint8)
            mujoco.mj_saveModel(scene.model, None, model)
            try:
                write_fault(
                    self.folder / f"broken_world_{self.broken}.npz",
                    before=before,
                    after=after,
                    target=target[world],
                    force=np.zeros(3) if force is None else force[world],
                    model=model,
                    hand=np.array(scene.hand.name),
                    object=np.array(scene.thing.name),
                )
            except OSError as error:
                return f"world {world} ({scene.thing.name}), whose state could not be saved ({error.strerror})"
        return f"world {world} ({scene.thing.name})"
