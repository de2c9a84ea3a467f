"""Foresight leaves the few chunks that it thinks best to simulation: as good as to simulate them all, at less cost.

A network says in two milliseconds what forty-eight chunks do, and is wrong by two thirds of what they differ by; a
simulation is right, and takes one for a single chunk. So the network chooses who comes into the simulation.
"""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.contract import SceneState
from knuckle.policy.learned.chunk_judge import ChunkJudge
from knuckle.policy.learned.foresight import Foresight


class Sieve:
    """Judges chunks on one object: ``foresight`` keeps ``kept`` of them, and ``simulation`` says by their first
    ``steps`` (0: by all) which is the best."""

    def __init__(self, foresight: Foresight, simulation: ChunkJudge, kept: int, steps: int = 0) -> None:
        self.object_name, self.goal = foresight.object_name, foresight.goal
        self._foresight, self._simulation, self._kept, self._steps = foresight, simulation, kept, steps

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """The best of ``chunks`` (n, length, dof), rad, from ``state`` after the ``smoothed`` action (dof,)."""
        self._foresight.goal = self._simulation.goal = self.goal
        kept = np.argsort(self._foresight.costs(state, chunks, smoothed), kind="stable")[: self._kept]
        seen = chunks[kept, : self._steps or chunks.shape[1]]
        return int(kept[np.argmin(self._simulation.costs(state, seen, smoothed))])

    def close(self) -> None:
        """End the simulation."""
        self._simulation.close()
