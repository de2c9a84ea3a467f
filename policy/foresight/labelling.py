"""Labels: at every decision of a policy that draws chunks, what some of them lead to in the judge's simulation.

A network that chooses among many is wrong above all about those that it thinks best. So where it chooses, its best few
are labelled, with as many of the others, in the states that its own choices lead into (as DAgger asks an expert).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.contract import SceneState
from knuckle.policy.learned.chunk_cost import chunk_costs
from knuckle.policy.learned.chunk_judge import ChunkJudge
from knuckle.policy.learned.contact_features import Scene
from knuckle.policy.learned.foresight import Foresight
from knuckle.policy.learned.learned_policy import LearnedPolicy, foresights
from knuckle.policy.learned.policy_card import read_card
from knuckle.policy.reorient_task import ReorientTask
from knuckle.sim.reorient.success import SUCCESS_ANGLE

ERRING = (0.0, 0.0, 0.25, 0.25, 1.0)
"""Shares of an episode's decisions that are not the best one, so that states that no good choice leads to are seen."""
SCENE_PARTS = ("q", "dq", "position", "quaternion", "velocity", "spin", "smoothed")


@dataclass(frozen=True)
class Labelled:
    """The n decisions of an episode, or of many: the ``scene`` (n, ...), the ``goal`` (n, 4), the ``chunks`` (n, m,
    steps, dof), rad, and the object's ``poses`` (n, m, steps, 7) on their ways, position and quaternion; ``facts``."""

    scene: Scene
    goal: Array
    chunks: Array
    poses: Array
    facts: dict[str, Any]

    def arrays(self) -> dict[str, Any]:
        """What is kept, by name, in single precision."""
        parts = {name: getattr(self.scene, name) for name in SCENE_PARTS}
        parts |= {"goal": self.goal, "chunks": self.chunks, "poses": self.poses}
        return {name: np.asarray(value, dtype=np.float32) for name, value in parts.items()}


def labelled(arrays: dict[str, Any], facts: dict[str, Any]) -> Labelled:
    """What `Labelled.arrays` kept; KeyError where a part is missing."""
    scene = Scene(*(np.asarray(arrays[name], dtype=np.float64) for name in SCENE_PARTS))
    return Labelled(scene, arrays["goal"], arrays["chunks"], arrays["poses"], facts)


class LabellingJudge:
    """Judges chunks as ``own`` does, or as ``simulation``, and notes what ``labels`` of them lead to."""

    def __init__(
        self, simulation: ChunkJudge, own: Foresight | None, labels: int, erring: float, rng: np.random.Generator
    ) -> None:
        self.object_name, self.goal = simulation.object_name, simulation.goal
        self._simulation, self._own, self._labels, self._erring, self._rng = simulation, own, labels, erring, rng
        self.noted: list[dict[str, Array]] = []

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """The chunk that is gone for: the best one but in the erring share."""
        best, tried = self._choose(state, chunks, smoothed)
        position, quaternion = self._simulation.ways(state, chunks[tried], smoothed)
        parts = (state.q, state.dq, state.position, state.quaternion, state.velocity, state.spin, smoothed)
        row = {name: np.asarray(part) for name, part in zip(SCENE_PARTS, parts, strict=True)}
        poses = np.concatenate([position, quaternion], axis=-1)
        if np.isfinite(poses).all():
            self.noted.append(row | {"goal": np.asarray(self.goal), "chunks": chunks[tried], "poses": poses})
        costs = chunk_costs(rotations.angle_between(quaternion, self.goal), position[:, -1])
        if self._rng.random() < self._erring:
            # What errs on its own is set right now and then; what never errs is led astray.
            return int(tried[np.argmin(costs)] if self._own is not None else self._rng.integers(len(chunks)))
        return int(tried[np.argmin(costs)]) if best is None else best

    def _choose(self, state: SceneState, chunks: Array, smoothed: Array) -> tuple[int | None, NDArray[np.intp]]:
        """The best by what was learned, if it was, and which chunks are to be labelled."""
        n = min(self._labels, len(chunks))
        if self._own is None:
            return None, np.arange(n)
        self._own.goal = self.goal
        order = np.argsort(self._own.costs(state, chunks, smoothed), kind="stable")
        others = self._rng.choice(order[n // 2 :], n - n // 2, replace=False)
        return int(order[0]), np.concatenate([order[: n // 2], others])

    def close(self) -> None:
        """End the simulation."""
        self._simulation.close()


@dataclass(frozen=True)
class LabelTask:
    """Episodes of the policy in ``folder`` at which ``labels`` chunks of each decision are labelled.

    ``rungs`` are gone through in turn, episode by episode, for starts of ``seed`` on ``objects``.
    """

    folder: str
    hand: str
    objects: str
    rungs: tuple[str, ...]
    labels: int
    seed: int

    def label(self, k: int) -> Labelled:
        """Episode ``k``, played and labelled."""
        begun, hand = time.process_time(), hand_spec(self.hand, where="--hand")
        task = ReorientTask(hand=self.hand, objects=self.objects, rung=self.rungs[k % len(self.rungs)], seed=self.seed)
        start, rng = task.start(k), np.random.default_rng([self.seed, k])
        erring, judges = float(rng.choice(ERRING)), list[LabellingJudge]()
        owns = _owns(hand, Path(self.folder))
        if owns is not None:
            erring = min(erring, 0.25)

        def judge(name: str) -> LabellingJudge:
            own = None if owns is None else owns(name)
            judges.append(LabellingJudge(ChunkJudge(hand, name), own, self.labels, erring, rng))
            return judges[-1]

        score = task.play(start, LearnedPolicy(hand, Path(self.folder), rng, judge))
        noted = [row for made in judges for row in made.noted]
        facts = {"episode": k, "object": start.object_name, "rung": task.rung, "erring": erring}
        facts |= {"succeeded": score.succeeded(SUCCESS_ANGLE), "cpu_s": time.process_time() - begun}
        return _together(noted, hand, facts)


def _owns(hand: HandSpec, folder: Path) -> Any:
    """What makes the policy's own foresight of an object, None where its judge is another."""
    config = read_card(folder, hand).config
    return foresights(hand, folder, config) if "foresight" in config else None


def _together(noted: list[dict[str, Array]], hand: HandSpec, facts: dict[str, Any]) -> Labelled:
    """The decisions of an episode; those with fewer chunks than the others are none of it."""
    most = max((len(row["chunks"]) for row in noted), default=0)
    rows = [row for row in noted if len(row["chunks"]) == most]
    if not rows:
        empty = Scene(*(np.zeros((0, size)) for size in (hand.dof, hand.dof, 3, 4, 3, 3, hand.dof)))
        return Labelled(empty, np.zeros((0, 4)), np.zeros((0, 0, 0, hand.dof)), np.zeros((0, 0, 0, 7)), facts)
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    scene = Scene(*(stacked[name] for name in SCENE_PARTS))
    return Labelled(scene, stacked["goal"], stacked["chunks"], stacked["poses"], facts)


def joined(parts: list[Labelled]) -> Labelled:
    """The decisions of ``parts``, one or more, one after another."""
    scene = Scene(*(np.concatenate([getattr(p.scene, name) for p in parts]) for name in SCENE_PARTS))
    goal, chunks, poses = (np.concatenate([getattr(p, name) for p in parts]) for name in ("goal", "chunks", "poses"))
    return Labelled(scene, goal, chunks, poses, parts[0].facts)
