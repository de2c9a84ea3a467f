"""Which of some drawn chunks is the best: a network sifts them, and simulation has the last word on a few.

What a network foretells of a chunk is right in the main and wrong about the chunk that it thinks best; so its best few
are carried out, and the best of those is gone for. That is as good as to simulate many times as many
(docs/experiments/2026-11-28-foresight.md), and needs the object's model, as simulation does.
"""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.contract import SceneState
from knuckle.policy.learned.chunk_judge import ChunkJudge
from knuckle.policy.learned.foresight import Foresight


class SiftedJudge:
    """Judges chunks by ``foresight`` and the best ``kept`` of them by ``simulation``; both know one object."""

    def __init__(self, foresight: Foresight, simulation: ChunkJudge, kept: int) -> None:
        self.object_name, self.kept = foresight.object_name, kept
        self._foresight, self._simulation = foresight, simulation
        self.goal = foresight.goal

    @property
    def goal(self) -> Array:
        """The goal that both look towards, w x y z, world frame."""
        return self._foresight.goal

    @goal.setter
    def goal(self, goal: Array) -> None:
        self._foresight.goal = self._simulation.goal = goal

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """The best of ``chunks`` (n, length, dof), rad, from ``state`` after the ``smoothed`` action (dof,)."""
        left = np.argsort(self._foresight.costs(state, chunks, smoothed), kind="stable")[: self.kept]
        return int(left[np.argmin(self._simulation.costs(state, chunks[left], smoothed))])

    def close(self) -> None:
        """End the simulation."""
        self._simulation.close()
