"""The poses that may be the right one: few, different, each with the evidence of the frames it has lived through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array
from knuckle.perception.object_alignment import Evidence, Poses, fit, joined
from knuckle.perception.object_model import ObjectModel
from knuckle.perception.object_search import SURFACE, alike

MEMORY = 0.7  # share of the evidence that the next frame still counts
HOPELESS = 0.3  # behind the best by more evidence than this a hypothesis is given up
TEMPERATURE = 0.01  # evidence that makes one hypothesis e times less likely than another
NEWCOMER = 0.1  # lasting evidence against a pose that turns up while another is followed: objects do not jump
MOST = 4


@dataclass(frozen=True)
class Hypotheses:
    """``poses`` (h), best first; ``cost`` (h,) and ``inliers`` (h,) in the newest frame; the evidence against
    each: ``recent`` (h,), summed with fading memory, and ``prior`` (h,), which does not fade; ``parent`` (h,) the place
    of each in the batch before, -1 where it is new."""

    poses: Poses
    cost: Array
    inliers: Array
    recent: Array
    prior: Array
    parent: Array

    @property
    def evidence(self) -> Array:
        """All that speaks against each, (h,)."""
        return self.recent + self.prior

    def weights(self) -> Array:
        """How likely each is, (h,), summing to 1."""
        w = np.exp(-(self.evidence - self.evidence[0]) / TEMPERATURE)
        return np.asarray(w / w.sum())

    def spread(self) -> Array:
        """The covariance (6, 6) about the first, world axes, that comes from not knowing which is right."""
        total = np.zeros((6, 6))
        for k, weight in enumerate(self.weights()):
            turn = rotations.log(rotations.from_matrix(self.poses.turn[k] @ self.poses.turn[0].T))
            apart = np.concatenate([self.poses.position[k] - self.poses.position[0], turn])
            total += weight * np.outer(apart, apart)
        return total


def judged(
    model: ObjectModel,
    evidence: Evidence,
    old: Hypotheses | None,
    continued: list[tuple[int, Poses]],
    new: Poses | None,
    kernel: float,
    *,
    newcomer: float = NEWCOMER,
) -> Hypotheses:
    """The hypotheses after a frame: ``continued`` are poses reached from the hypothesis of that place in ``old``.

    A new one has the past of the best, and ``newcomer`` against it.
    """
    batches = [poses for _, poses in continued] + ([new] if new is not None else [])
    parent = [place for place, poses in continued for _ in range(len(poses))]
    poses = joined(batches)
    for i in range(len(parent), len(poses)):
        # What a search finds where a hypothesis already stands is that hypothesis.
        same = np.flatnonzero(alike(poses[:i], poses[i : i + 1]))
        parent.append(parent[int(same[0])] if len(same) else -1)
    result = fit(model, evidence, poses, kernel, SURFACE)
    recent, prior = result.cost, np.zeros(len(poses))
    if old is not None:
        places = np.maximum(parent, 0)
        recent = recent + MEMORY * old.recent[places]
        prior = old.prior[places] + newcomer * (np.array(parent) < 0)
    total = recent + prior
    # Of equals the older comes first, so that a pose that was found twice stays the same hypothesis.
    order = sorted(range(len(poses)), key=lambda i: (total[i], parent[i] < 0))
    kept: list[int] = []
    for i in order:
        if len(kept) == MOST or total[i] > total[order[0]] + HOPELESS:
            break
        if not kept or not alike(poses[np.array(kept)], poses[i : i + 1]).any():
            kept.append(i)
    index = np.array(kept, dtype=np.intp)
    inherited = np.array([parent[i] for i in kept])
    return Hypotheses(poses[index], result.cost[index], result.inliers[index], recent[index], prior[index], inherited)
