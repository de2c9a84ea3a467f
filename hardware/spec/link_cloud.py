"""Points on the surface of a hand's links: the proprioceptive cloud (Visual Dexterity: 500 points a link)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Link, Primitive
from knuckle.hardware.spec.kinematics import link_poses
from knuckle.hardware.spec.primitive_distance import signed_distance


@dataclass(frozen=True)
class LinkCloud:
    """``points`` (n, 3) in m, each in the frame of the link whose index ``link`` (n,) int32 names."""

    spec: HandSpec
    points: Array
    link: NDArray[np.int32]

    def at(self, q: ArrayLike) -> Array:
        """The cloud (n, 3) in hand_base for joint angles ``q`` (dof,)."""
        positions, quaternions = link_poses(self.spec, q)
        return positions[self.link] + rotations.rotate(quaternions[self.link], self.points)


def link_cloud(spec: HandSpec, points_per_link: int = 500, seed: int = 0) -> LinkCloud:
    """``points_per_link`` points on the outer surface of each link, uniform by area, the same for the same seed."""
    rng = np.random.default_rng(seed)
    clouds = [_surface(link, points_per_link, rng) for link in spec.links]
    owner = np.repeat(np.arange(len(spec.links), dtype=np.int32), points_per_link)
    return LinkCloud(spec, np.concatenate(clouds), owner)


def _surface(link: Link, n: int, rng: np.random.Generator) -> Array:
    """Points on the union of a link's primitives: those buried in a sister primitive are drawn again."""
    areas = np.array([_area(p) for p in link.primitives])
    kept: list[Array] = []
    while sum(map(len, kept)) < n:
        for k, primitive in enumerate(link.primitives):
            points = _sample(primitive, int(np.ceil(2 * n * areas[k] / areas.sum())), rng)
            sisters = [p for j, p in enumerate(link.primitives) if j != k]
            free = np.ones(len(points), dtype=bool)
            for sister in sisters:
                free &= signed_distance(sister, points) > 0.0
            kept.append(points[free])
    cloud = np.concatenate(kept)
    return np.asarray(cloud[rng.permutation(len(cloud))[:n]])


def _area(p: Primitive) -> float:
    if p.kind == "box":
        x, y, z = p.size
        return 8.0 * (x * y + y * z + z * x)
    radius = p.size[0]
    if p.kind == "sphere":
        return 4.0 * np.pi * radius**2
    side = 4.0 * np.pi * radius * p.size[1]
    return side + (4.0 if p.kind == "capsule" else 2.0) * np.pi * radius**2


def _sample(p: Primitive, n: int, rng: np.random.Generator) -> Array:
    """``n`` points uniform on the surface of one primitive, in the link's frame."""
    if p.kind == "box":
        local = _on_box(np.array(p.size), n, rng)
    elif p.kind == "sphere":
        local = p.size[0] * _unit(n, rng)
    else:
        local = _on_round(p, n, rng)
    return np.asarray(rotations.rotate(np.array(p.quaternion), local) + np.array(p.position))


def _unit(n: int, rng: np.random.Generator) -> Array:
    v = rng.standard_normal((n, 3))
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True))


def _on_box(half: Array, n: int, rng: np.random.Generator) -> Array:
    face_area = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = rng.choice(3, size=n, p=face_area / face_area.sum())
    points = rng.uniform(-1.0, 1.0, (n, 3)) * half
    points[np.arange(n), axis] = half[axis] * rng.choice([-1.0, 1.0], size=n)
    return points


def _on_round(p: Primitive, n: int, rng: np.random.Generator) -> Array:
    """Side and ends of a capsule or cylinder along local z."""
    radius, half = p.size
    side_area, total = 4.0 * np.pi * radius * half, _area(p)
    on_side = rng.uniform(size=n) < side_area / total
    angle = rng.uniform(-np.pi, np.pi, n)
    side = np.stack([radius * np.cos(angle), radius * np.sin(angle), rng.uniform(-half, half, n)], axis=1)
    if p.kind == "capsule":
        end = radius * _unit(n, rng)
        end[:, 2] += np.copysign(half, end[:, 2])
    else:
        r = radius * np.sqrt(rng.uniform(size=n))
        end = np.stack([r * np.cos(angle), r * np.sin(angle), half * rng.choice([-1.0, 1.0], size=n)], axis=1)
    return np.where(on_side[:, None], side, end)
