"""Laying a known object into a cloud: batched robust Gauss-Newton on its signed distance, and how well a pose explains
what was seen.

A pose is a position and a rotation matrix in the world; a batch holds many hypotheses. Steps are small motions
(shift, turn) along the object's own axes. Points are float32: the depth behind them has no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array
from knuckle.perception.object_model import Floats, ObjectModel
from knuckle.perception.sight import Sight

ARM_M = 0.04  # what turns a rotation into a length where the two are weighed against each other
GAP_M = 0.012  # so far before what was seen a surface point must lie to contradict it: the slope within a cell
GAP_FULL_M = 0.015  # further contradiction than this counts no more
FACING = 0.25  # cosine to the ray from which a surface point counts as turned to the camera


@dataclass(frozen=True)
class Poses:
    """Hypotheses: ``position`` (h, 3) m and ``turn`` (h, 3, 3), object to world."""

    position: Array
    turn: Array

    def __len__(self) -> int:
        return len(self.position)

    def __getitem__(self, index: NDArray[np.intp] | slice) -> Poses:
        return Poses(self.position[index], self.turn[index])

    def moved(self, step: Array) -> Poses:
        """After the motions ``step`` (h, 6): shift m, then turn rad, along the object's axes."""
        shift = np.einsum("hij,hj->hi", self.turn, step[:, :3])
        return Poses(self.position + shift, self.turn @ rotations.to_matrix(rotations.exp(step[:, 3:])))


def joined(batches: list[Poses]) -> Poses:
    """All hypotheses of ``batches`` in one."""
    return Poses(np.concatenate([b.position for b in batches]), np.concatenate([b.turn for b in batches]))


def one_pose(position: Array, quaternion: Array) -> Poses:
    """A batch of one."""
    return Poses(np.asarray(position)[None], rotations.to_matrix(quaternion)[None])


@dataclass(frozen=True)
class Evidence:
    """One frame's evidence: the object's ``points`` (n, 3) in the world, what the camera saw, where it stands, and
    whether a ``table`` (the plane z = 0) is there to lie on."""

    points: Floats
    sight: Sight
    eye: Floats
    table: bool = True


@dataclass(frozen=True)
class Fit:
    """How poses explain a frame, each (h,): ``misfit`` of the points 0 to 1, ``gap`` of the surface that should have
    been seen but was looked through, 0 to 1, ``inliers`` share of points within 6 mm of the surface."""

    misfit: Array
    gap: Array
    inliers: Array

    @property
    def cost(self) -> Array:
        """One number to choose by, (h,): less is better."""
        return self.misfit + self.gap


def refine(model: ObjectModel, evidence: Evidence, poses: Poses, kernels: tuple[float, ...], surface: int) -> Poses:
    """``poses`` after one step for each of ``kernels`` (m), the widths of the robust weights; ``surface`` points of
    the model take part."""
    for kernel in kernels:
        a, b = normal_equations(model, evidence, poses, kernel, surface)
        a += 1e-3 * len(evidence.points) * np.diag([1.0] * 3 + [ARM_M**2] * 3)
        step: Array = np.asarray(np.linalg.solve(a, b[..., None])[..., 0], dtype=np.float64)
        step[:, :3] *= _at_most(np.linalg.norm(step[:, :3], axis=1), 0.03)
        step[:, 3:] *= _at_most(np.linalg.norm(step[:, 3:], axis=1), 0.5)
        poses = poses.moved(step)
    return poses


def normal_equations(
    model: ObjectModel, evidence: Evidence, poses: Poses, kernel: float, surface: int
) -> tuple[Array, Array]:
    """Matrix (h, 6, 6) and right side (h, 6) of the weighted least squares for a step, lengths in m, weights 0 to 1."""
    turn, position = poses.turn.astype(np.float32), poses.position.astype(np.float32)
    local = (evidence.points[None] - position[:, None]) @ turn
    distance, gradient = model.distance(local)
    jacobian = _jacobian(gradient, local)
    weight = _weight(distance, kernel)
    weighted = (jacobian * weight[..., None]).transpose(0, 2, 1)
    a = weighted @ jacobian
    b = weighted @ distance[..., None]
    marks = model.surface[:surface]
    world = marks @ turn.transpose(0, 2, 1) + position[:, None]
    share = np.float32(len(evidence.points) / max(surface, 1))
    facing = _facing(model.normals[:surface], evidence, turn, world)
    before, aside, slope = evidence.sight.look(world)
    loose = facing & (before > GAP_M) & (aside > 0.0)
    value = np.where(loose, np.minimum(aside, np.float32(0.02)), np.float32(0.0))
    _add(a, b, marks, slope @ turn, value, share * np.float32(0.5) * _weight(value, 2.0 * kernel) * loose)
    if evidence.table:
        under = np.minimum(world[..., 2], np.float32(0.0))
        up = turn[:, None, 2, :]
        _add(a, b, marks, np.broadcast_to(up, world.shape), under, share * (under < 0.0))
    return a.astype(np.float64), b[..., 0].astype(np.float64)


def fit(model: ObjectModel, evidence: Evidence, poses: Poses, kernel: float, surface: int) -> Fit:
    """How well each of ``poses`` explains the frame, with the robust width ``kernel`` in m."""
    turn, position = poses.turn.astype(np.float32), poses.position.astype(np.float32)
    local = (evidence.points[None] - position[:, None]) @ turn
    distance = model.distance(local)[0]
    square = distance * distance
    misfit = np.mean(square / (square + np.float32(kernel * kernel)), axis=1)
    world = model.surface[:surface] @ turn.transpose(0, 2, 1) + position[:, None]
    facing = _facing(model.normals[:surface], evidence, turn, world)
    before, _, _ = evidence.sight.look(world)
    open_by = np.clip((before - GAP_M) / GAP_FULL_M, 0.0, 1.0) * facing
    sunk = np.clip(-world[..., 2] / GAP_FULL_M, 0.0, 1.0) * evidence.table
    gap = open_by.sum(axis=1) / np.maximum(facing.sum(axis=1), 1) + sunk.mean(axis=1)
    return Fit(misfit.astype(np.float64), gap.astype(np.float64), np.mean(np.abs(distance) < 0.006, axis=1))


def _facing(normals: Floats, evidence: Evidence, turn: Floats, world: Floats) -> NDArray[np.bool_]:
    """Which surface points (h, m) are turned to the camera."""
    ray = evidence.eye - world
    along = np.einsum("hmk,hmk->hm", normals @ turn.transpose(0, 2, 1), ray)
    return np.asarray(along > np.float32(FACING) * np.sqrt(np.einsum("hmk,hmk->hm", ray, ray)))


def _jacobian(gradient: Floats, arm: Floats) -> Floats:
    """(..., 6): the gradient, and its moment about the object's origin."""
    out = np.empty((*gradient.shape[:-1], 6), dtype=np.float32)
    gx, gy, gz = gradient[..., 0], gradient[..., 1], gradient[..., 2]
    x, y, z = arm[..., 0], arm[..., 1], arm[..., 2]
    out[..., :3] = gradient
    out[..., 3] = y * gz - z * gy
    out[..., 4] = z * gx - x * gz
    out[..., 5] = x * gy - y * gx
    return out


def _weight(residual: Floats, kernel: float) -> Floats:
    """Geman and McClure's weights for residuals in m."""
    k2 = np.float32(kernel * kernel)
    root = k2 / (residual * residual + k2)
    return np.asarray(root * root)


def _add(a: Floats, b: Floats, marks: Floats, slope: Floats, value: Floats, weight: Floats) -> None:
    """Add residuals ``value`` (h, m) of surface points, which grow along ``slope`` (h, m, 3), object frame."""
    jacobian = _jacobian(slope, np.broadcast_to(marks, slope.shape))
    weighted = (jacobian * weight[..., None]).transpose(0, 2, 1)
    a += weighted @ jacobian
    b -= weighted @ value[..., None]


def _at_most(length: Array, limit: float) -> Array:
    """The factors (h, 1) that cut ``length`` (h,) to ``limit``."""
    return np.asarray(np.minimum(1.0, limit / np.maximum(length, 1e-12))[:, None])
