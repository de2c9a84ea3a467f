"""Foresight leaves the few chunks that it thinks best to simulation: as good as to simulate them all, at less cost.

A network says in two milliseconds what dozens of chunks do, and is wrong by half of what they differ by; a simulation
is right, and takes one for a single chunk. So the network chooses who comes into the simulation, and how many: where
all chunks are foretold to do much the same there is little to be gained, and in a quarter of all decisions half of it
(docs/experiments/2026-11-28-foresight.md).
"""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.contract import SceneState
from knuckle.policy.learned.chunk_judge import ChunkJudge
from knuckle.policy.learned.foresight import Foresight


class Sieve:
    """Judges chunks on one object: ``foresight`` keeps ``most`` of them, and ``simulation`` says by their first
    ``steps`` (0: by all) which is the best.

    With ``each`` one is kept, and one more, up to ``most``, for each time that the deviation of what chunks are
    foretold to cost holds it; one alone is not simulated.
    """

    def __init__(
        self, foresight: Foresight, simulation: ChunkJudge, most: int, steps: int = 0, each: float = 0.0
    ) -> None:
        self.object_name, self.goal = foresight.object_name, foresight.goal
        self._foresight, self._simulation = foresight, simulation
        self._most, self._steps, self._each = most, steps, each

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """The best of ``chunks`` (n, length, dof), rad, from ``state`` after the ``smoothed`` action (dof,)."""
        self._foresight.goal = self._simulation.goal = self.goal
        costs = self._foresight.costs(state, chunks, smoothed)
        kept = np.argsort(costs, kind="stable")[: self._how_many(costs)]
        if len(kept) == 1:
            return int(kept[0])
        seen = chunks[kept, : self._steps or chunks.shape[1]]
        return int(kept[np.argmin(self._simulation.costs(state, seen, smoothed))])

    def _how_many(self, costs: Array) -> int:
        return self._most if self._each == 0.0 else min(1 + int(np.std(costs) / self._each), self._most)

    def close(self) -> None:
        """End the simulation."""
        self._simulation.close()
