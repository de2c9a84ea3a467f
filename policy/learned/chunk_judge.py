"""Which of some drawn chunks is the best: each is carried out in the planner's simulation, and its end is looked at.

A learned policy proposes whole ways to turn the object, and does not know which of them holds on to this object in this
posture; a simulation of half a second each does. Half way all but the best third are given up. The simulation is the
planner's with softer friction, which costs three fifths and chooses as well
(docs/experiments/2026-11-27-chunks.md). It needs the object's model and its full state, as the planner does.
"""

from __future__ import annotations

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import SceneState
from knuckle.policy.learned.chunk_cost import chunk_costs
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.planner_model import PlannerModel, Way
from knuckle.sim.scene import coarse_scene


class ChunkJudge:
    """Judges chunks of ``hand`` on the object called ``object_name``, towards ``goal`` (w x y z, world frame)."""

    def __init__(self, hand: HandSpec, object_name: str) -> None:
        self.object_name, self.goal = object_name, rotations.IDENTITY
        dt_s = 1.0 / (hand.control_rate_hz * MpcConfig().substeps)
        self._model = PlannerModel(coarse_scene(hand, object_name, dt_s), ActionMap(hand), 1)

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """The best of ``chunks`` (n, length, dof), rad, from ``state`` after the ``smoothed`` action (dof,)."""
        n, length, _ = chunks.shape
        half = max(length // 2, 1)
        course, way = self._model.go_on(self._model.begin(state, n, smoothed), chunks[:, :half])
        angles, position = self._seen(way)
        costs = chunk_costs(angles, position)
        if half == length:
            return int(np.argmin(costs))
        left = np.sort(np.argsort(costs, kind="stable")[: max(n // 3, 1)])
        _, way = self._model.go_on(course.some(left), chunks[left, half:])
        later, position = self._seen(way)
        return int(left[np.argmin(chunk_costs(np.concatenate([angles[left], later], axis=1), position))])

    def costs(self, state: SceneState, chunks: Array, smoothed: Array) -> Array:
        """What each of ``chunks`` costs, none given up (n,)."""
        _, way = self._model.go_on(self._model.begin(state, len(chunks), smoothed), chunks)
        return chunk_costs(*self._seen(way))

    def ways(self, state: SceneState, chunks: Array, smoothed: Array) -> tuple[Array, Array]:
        """Where each of ``chunks`` leads, none given up: positions (n, length, 3), m, and quaternions (n, length, 4) of
        the object."""
        _, way = self._model.go_on(self._model.begin(state, len(chunks), smoothed), chunks)
        return self._model.scene.object_pose_of(way.states)

    def _seen(self, way: Way) -> tuple[Array, Array]:
        """The angles (n, steps), rad, that are left on ``way``, and where (n, 3) the object ends, m."""
        position, quaternion = self._model.scene.object_pose_of(way.states)
        return rotations.angle_between(quaternion, self.goal), position[:, -1]

    def close(self) -> None:
        """End the simulation."""
        self._model.close()
