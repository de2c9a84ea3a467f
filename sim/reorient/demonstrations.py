"""Starts in the midst of what an expert did: the states of its episodes, each with the goal that it then reached.

A learner that begins there meets the end of a long turn before it can find the beginning: first a few steps from the
goal, then, as it gets there, ever further back (after Salimans and Chen, "Learning Montezuma's Revenge from a Single
Demonstration", 2018, over many episodes at once). An observation holds the whole state at rest or in motion, so
episodes recorded as observations are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.reorient.observation import RATE_SCALE, ReorientObservation
from knuckle.sim.scene import Scene


@dataclass(frozen=True)
class Shown:
    """What experts saw, ``observations`` (n, 22G+21), and the control steps ``left`` (n,) until the goal was near."""

    observations: Array
    left: NDArray[np.int64]


@dataclass(frozen=True)
class Moment:
    """``states`` (n, nstate) at time 0 as `Scene` lays them out, and the ``goals`` (n, 4) reached from them."""

    states: Array
    goals: Array


class Demonstrations:
    """Moments of experts' episodes, by object: ``shown`` maps the names of objects to what was seen of them.

    ``scenes`` are those of the objects of a batch in their order; every one of them needs a row. ``share`` of the
    episodes begin there, at most ``reach`` control steps before the goal was near (or as near as there is any), and
    are cut off after ``slack`` steps more. InputError for rows of another width, not finite, or an object without any.
    """

    def __init__(self, scenes: list[Scene], shown: Mapping[str, Shown], *, share: float, slack: int) -> None:
        self.share, self.slack, self.reach = share, slack, 1
        build = ReorientObservation(scenes[0].hand)
        nothing = Shown(np.zeros((0, build.width)), np.zeros(0, dtype=np.int64))
        # Nearest to the goal first: those within reach are the first ones.
        self._left: list[NDArray[np.int64]] = []
        self._moments: list[Moment] = []
        for scene in scenes:
            of = shown.get(scene.thing.name, nothing)
            order = np.argsort(of.left, kind="stable")
            self._left.append(of.left[order])
            self._moments.append(_checked_moments(scene, build, np.asarray(of.observations, dtype=np.float64)[order]))
        self.furthest = max(int(left[-1]) for left in self._left)

    def draw(self, worlds: NDArray[np.intp], rng: np.random.Generator) -> tuple[NDArray[np.intp], Moment]:
        """Which of ``worlds`` begin in a moment of an expert's, as places in ``worlds``, and the moments."""
        chosen = np.flatnonzero(rng.random(len(worlds)) < self.share)
        objects = [int(world) % len(self._moments) for world in worlds[chosen]]
        rows = [int(rng.integers(self._within(k))) for k in objects]
        states = [self._moments[k].states[row] for k, row in zip(objects, rows, strict=True)]
        goals = [self._moments[k].goals[row] for k, row in zip(objects, rows, strict=True)]
        return chosen, Moment(np.array(states), np.array(goals))

    def _within(self, k: int) -> int:
        """How many moments of object ``k`` are within reach, the nearest ones counted in any case."""
        left = self._left[k]
        return int(np.searchsorted(left, max(self.reach, int(left[0])), side="right"))


def _checked_moments(scene: Scene, build: ReorientObservation, rows: Array) -> Moment:
    where = f"demonstrations with {scene.thing.name}"
    if len(rows) == 0:
        raise InputError("there are none", where=where, right="episodes with every object that is learned on")
    if rows.ndim != 2 or rows.shape[1] != build.width or not np.isfinite(rows).all():
        raise InputError(f"observations of shape {rows.shape}", where=where, right=f"(n, {build.width}), finite")
    return moments(scene, build, rows)


def moments(scene: Scene, build: ReorientObservation, rows: Array) -> Moment:
    """The states of ``scene`` and the goals that observations ``rows`` (n, 22G+21) tell of."""
    part, hand, n = build.slices, build.hand, len(rows)
    states = np.zeros((n, scene.nstate))
    qpos, qvel = states[:, 1 : 1 + scene.model.nq], states[:, 1 + scene.model.nq :]
    middle, half = (hand.upper + hand.lower) / 2.0, (hand.upper - hand.lower) / 2.0
    qpos[:, scene.joint_q] = middle + half * rows[:, part["joint_angle"]]
    qvel[:, scene.joint_v] = rows[:, part["joint_rate"]] / RATE_SCALE
    quaternion = rotations.normalize(rows[:, part["object_quaternion"]])
    spin = rotations.rotate(rotations.conjugate(quaternion), rows[:, part["object_spin"]] / RATE_SCALE)
    qpos[:, scene.object_q] = np.hstack([rows[:, part["object_position"]], quaternion])
    qvel[:, scene.object_v] = np.hstack([rows[:, part["object_velocity"]], spin])
    return Moment(states, rotations.normalize(rows[:, part["goal_quaternion"]]))
