"""Which of some drawn chunks is the best: each is carried out in the planner's simulation, and its end is looked at.

A learned policy proposes whole ways to turn the object, and does not know which of them holds on to this object in this
posture; a simulation of a second each does. It is the planner's own, with a fourth to an eighth of its candidates and
a fourth of its decisions. It needs the object's model and its full state, as the planner does.
"""

from __future__ import annotations

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import SceneState
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.planner_model import Futures, PlannerModel
from knuckle.sim.scene import planner_scene

END, OFFSET, ESCAPE, ESCAPE_RADIUS_M = 2.0, 1.5, 10.0, 0.07
"""What counts beside the mean angle, rad: the angle at the end; per m, how far off the middle the object ends, and how
far beyond the radius where it begins to escape."""


class ChunkJudge:
    """Judges chunks of ``hand`` on the object called ``object_name``, towards ``goal`` (w x y z, world frame)."""

    def __init__(self, hand: HandSpec, object_name: str) -> None:
        self.object_name, self.goal = object_name, rotations.IDENTITY
        dt_s = 1.0 / (hand.control_rate_hz * MpcConfig().substeps)
        self._model = PlannerModel(planner_scene(hand, object_name, dt_s), ActionMap(hand), 1)

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """The best of ``chunks`` (n, length, dof), rad, from ``state`` after the ``smoothed`` action (dof,)."""
        futures = self.futures(state, chunks, smoothed)
        angles = rotations.angle_between(futures.quaternion, self.goal)
        offset = np.linalg.norm(futures.position[:, -1, :2], axis=-1)
        costs = angles.mean(axis=1) + END * angles[:, -1] + OFFSET * offset
        costs += ESCAPE * np.maximum(offset - ESCAPE_RADIUS_M, 0.0)
        return int(np.argmin(np.where(np.isfinite(costs), costs, np.inf)))

    def futures(self, state: SceneState, chunks: Array, smoothed: Array) -> Futures:
        """What ``chunks`` lead to, a step of the control rate each."""
        return self._model.roll(state, chunks, smoothed)

    def close(self) -> None:
        """End the simulation."""
        self._model.close()
