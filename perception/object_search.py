"""Where a known object is, knowing nothing: rotations spread over SO(3), laid into the cloud, refined, thinned out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array
from knuckle.perception.object_alignment import Evidence, Poses, fit, refine
from knuckle.perception.object_model import ObjectModel

# Super-Fibonacci spirals (Alexa, CVPR 2022): phi^2 = 2, psi^4 = psi + 4.
_PHI, _PSI = 2.0**0.5, 1.533751168755204288118041

COARSE_POINTS, MIDDLE_POINTS = 50, 120
SURFACE, SURFACE_COARSE = 200, 60
SHIFT_M = 0.025


def spread_rotations(n: int) -> Array:
    """``n`` quaternions (n, 4) spread evenly over SO(3), always the same."""
    s = np.arange(n) + 0.5
    r, big_r = np.sqrt(s / n), np.sqrt(1.0 - s / n)
    alpha, beta = 2.0 * np.pi * s / _PHI, 2.0 * np.pi * s / _PSI
    return np.stack([big_r * np.cos(beta), r * np.sin(alpha), r * np.cos(alpha), big_r * np.sin(beta)], axis=-1)


@dataclass(frozen=True)
class Found:
    """Hypotheses from a search, best first, with the ``cost`` (h,) and ``inliers`` (h,) of each."""

    poses: Poses
    cost: Array
    inliers: Array


def laid_into(model: ObjectModel, evidence: Evidence, turns: Array) -> Poses:
    """Poses of the rotation matrices ``turns`` (h, 3, 3): the surface turned to the camera has the points' middle."""
    eye = evidence.eye.astype(np.float64)
    middle = evidence.points.mean(axis=0, dtype=np.float64)
    ray = (eye - middle) / np.linalg.norm(eye - middle)
    seen = model.seen_middle(np.einsum("hij,i->hj", turns, ray))
    return Poses(middle - np.einsum("hij,hj->hi", turns, seen), turns)


def search(model: ObjectModel, evidence: Evidence, start: Poses, keep: int, kernel: float) -> Found:
    """The best ``keep`` different poses reached from ``start``: coarse steps for all, fine ones for the best."""
    coarse, middle = thinned(evidence, COARSE_POINTS), thinned(evidence, MIDDLE_POINTS)
    poses = refine(model, coarse, start, (0.03, 0.02, 0.015), 0)
    poses = _best(model, coarse, poses, 0.010, max(12, len(start) // 4))
    poses = refine(model, middle, poses, (0.015, 0.012, 0.010, 0.008), SURFACE_COARSE)
    poses = _shifted(_best(model, middle, poses, 0.008, max(4, len(start) // 50)))
    poses = refine(model, middle, poses, (0.010, 0.008, 0.006, 0.005), SURFACE_COARSE)
    poses = distinct(model, middle, poses, max(4, len(start) // 50), 0.006).poses
    poses = refine(model, middle, poses, (0.006, 0.005, 0.004, 0.004), SURFACE_COARSE)
    return distinct(model, evidence, poses, keep, kernel)


def distinct(model: ObjectModel, evidence: Evidence, poses: Poses, keep: int, kernel: float) -> Found:
    """The best ``keep`` of ``poses``, without those that nearly repeat a better one."""
    judged = fit(model, evidence, poses, kernel, SURFACE)
    waiting = np.argsort(judged.cost, kind="stable")
    kept: list[int] = []
    while len(waiting) and len(kept) < keep:
        best = int(waiting[0])
        kept.append(best)
        waiting = waiting[~alike(poses[waiting], poses[best : best + 1])]
    index = np.array(kept, dtype=np.intp)
    return Found(poses[index], judged.cost[index], judged.inliers[index])


def alike(poses: Poses, one: Poses) -> NDArray[np.bool_]:
    """Which of ``poses`` (h) are within 12 degrees and 12 mm of ``one``, a batch of one."""
    trace = np.einsum("hij,ij->h", poses.turn, one.turn[0])
    near = np.linalg.norm(poses.position - one.position[0], axis=1) < 0.012
    return np.asarray((trace > 1.0 + 2.0 * 0.978) & near)


def rotation_matrices(n: int) -> Array:
    """The matrices (n, 3, 3) of `spread_rotations`."""
    return rotations.to_matrix(spread_rotations(n))


def _shifted(poses: Poses) -> Poses:
    """``poses`` and each of them shifted both ways along its three axes.

    What hides behind itself or a finger is not in the points' middle: a pose of the right rotation may have slid along
    a face to where steps of its own lead nowhere.
    """
    ways = np.concatenate([np.zeros((1, 3)), SHIFT_M * np.eye(3), -SHIFT_M * np.eye(3)])
    steps = np.tile(np.concatenate([ways, np.zeros_like(ways)], axis=1), (len(poses), 1))
    return Poses(np.repeat(poses.position, len(ways), axis=0), np.repeat(poses.turn, len(ways), axis=0)).moved(steps)


def _best(model: ObjectModel, evidence: Evidence, poses: Poses, kernel: float, n: int) -> Poses:
    cost = fit(model, evidence, poses, kernel, SURFACE_COARSE).cost
    index: NDArray[np.intp] = np.argsort(cost, kind="stable")[:n]
    return poses[index]


def thinned(evidence: Evidence, n: int) -> Evidence:
    """About ``n`` of the points, evenly from a cloud that is sorted in space."""
    step = max(1, len(evidence.points) // n)
    return Evidence(evidence.points[step // 2 :: step], evidence.sight, evidence.eye, evidence.table)
