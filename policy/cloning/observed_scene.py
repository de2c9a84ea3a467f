"""The scene that an observation tells of: `ReorientObservation` read backwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import SceneState
from knuckle.sim.reorient.observation import RATE_SCALE, ReorientObservation


@dataclass(frozen=True)
class ObservedScene:
    """What observations (n, width) hold, in SI units and the world frame: ``q``, ``dq`` and ``previous`` (the smoothed
    action) (n, dof), the object's ``position``, ``velocity`` and ``spin`` (n, 3) and ``quaternion`` (n, 4), and the
    ``goal`` (n, 4)."""

    q: Array
    dq: Array
    position: Array
    quaternion: Array
    velocity: Array
    spin: Array
    goal: Array
    previous: Array

    def state(self, k: int) -> SceneState:
        """Row ``k`` as a planner takes it; its stamp is 0."""
        parts = (self.q, self.dq, self.position, self.quaternion, self.velocity, self.spin)
        return SceneState(0, *(part[k] for part in parts))

    @property
    def angle(self) -> Array:
        """The angle (n,) to the goal, rad."""
        return rotations.angle_between(self.quaternion, self.goal)


def scene_of(hand: HandSpec, observations: ArrayLike) -> ObservedScene:
    """The scenes of ``observations`` (n, width) of ``hand``."""
    rows, part = np.asarray(observations, dtype=np.float64), ReorientObservation(hand).slices
    middle, half = (hand.upper + hand.lower) / 2.0, (hand.upper - hand.lower) / 2.0
    return ObservedScene(
        q=rows[:, part["joint_angle"]] * half + middle,
        dq=rows[:, part["joint_rate"]] / RATE_SCALE,
        position=rows[:, part["object_position"]],
        quaternion=rotations.normalize(rows[:, part["object_quaternion"]]),
        velocity=rows[:, part["object_velocity"]],
        spin=rows[:, part["object_spin"]] / RATE_SCALE,
        goal=rotations.normalize(rows[:, part["goal_quaternion"]]),
        previous=rows[:, part["previous_action"]],
    )


def with_goals(hand: HandSpec, observations: ArrayLike, goals: Array) -> Array:
    """A copy of ``observations`` (n, width) whose goals are ``goals`` (n, 4)."""
    rows = np.ascontiguousarray(np.asarray(observations, dtype=np.float64).T)
    ReorientObservation(hand).write_goal(rows, np.ascontiguousarray(goals.T))
    return np.ascontiguousarray(rows.T)
