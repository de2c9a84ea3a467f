"""Which of some drawn chunks is the best: each is carried out in the planner's simulation, and its end is looked at.

A learned policy proposes whole ways to turn the object, and does not know which of them holds on to this object in this
posture; a simulation of less than half a second each does. On the way the worse half is given up, then half of what is
left. The simulation is the planner's with softer friction, which costs three fifths and chooses as well
(docs/experiments/2026-11-27-chunks.md). It needs the object's model and its full state, as the planner does.
"""

from __future__ import annotations

import math

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import SceneState
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.planner_model import PlannerModel, Way
from knuckle.sim.scene import coarse_scene

END, OFFSET, ESCAPE, ESCAPE_RADIUS_M = 2.0, 1.5, 10.0, 0.07
"""What counts beside the mean angle, rad: the angle at the end; per m, how far off the middle the object ends, and how
far beyond the radius where it begins to escape."""
CUTS = ((0.2, 0.5), (0.6, 0.25))
"""After which share of the simulated steps which share of the candidates is kept."""


class ChunkJudge:
    """Judges chunks of ``hand`` on the object called ``object_name``, towards ``goal`` (w x y z, world frame)."""

    def __init__(self, hand: HandSpec, object_name: str) -> None:
        self.object_name, self.goal = object_name, rotations.IDENTITY
        dt_s = 1.0 / (hand.control_rate_hz * MpcConfig().substeps)
        self._model = PlannerModel(coarse_scene(hand, object_name, dt_s), ActionMap(hand), 1)

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """The best of ``chunks`` (n, length, dof), rad, from ``state`` after the ``smoothed`` action (dof,)."""
        n, length, _ = chunks.shape
        course, left, done = self._model.begin(state, n, smoothed), np.arange(n), 0
        angles = np.zeros((n, 0))
        for steps, kept in _cuts(n, length):
            course, way = self._model.go_on(course, chunks[left, done:steps])
            later, position = self._seen(way)
            angles = np.concatenate([angles, later], axis=1)
            best = np.sort(np.argsort(_costs(angles, position), kind="stable")[:kept])
            course, angles, left, done = course.some(best), angles[best], left[best], steps
        return int(left[0])

    def _seen(self, way: Way) -> tuple[Array, Array]:
        """The angles (n, steps), rad, that are left on ``way``, and where (n, 3) the object ends, m."""
        position, quaternion = self._model.scene.object_pose_of(way.states)
        return rotations.angle_between(quaternion, self.goal), position[:, -1]

    def close(self) -> None:
        """End the simulation."""
        self._model.close()


def _cuts(n: int, length: int) -> list[tuple[int, int]]:
    """After how many of ``length`` control steps how many of ``n`` candidates are kept, one at the end."""
    cuts = [(round(share * length), math.ceil(kept * n)) for share, kept in CUTS]
    return [(steps, kept) for steps, kept in cuts if 0 < steps < length] + [(length, 1)]


def _costs(angles: Array, position: Array) -> Array:
    """The cost (n,) of ways with ``angles`` (n, steps), rad, that led to ``position`` (n, 3), m; infinite for a way on
    which the simulation broke down."""
    offset = np.linalg.norm(position[:, :2], axis=-1)
    costs = angles.mean(axis=1) + END * angles[:, -1] + OFFSET * offset
    costs += ESCAPE * np.maximum(offset - ESCAPE_RADIUS_M, 0.0)
    return np.asarray(np.where(np.isfinite(costs), costs, np.inf))
