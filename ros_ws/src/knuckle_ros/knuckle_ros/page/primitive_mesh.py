"""Triangles of a primitive, for drawing: no mesh library, no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, Primitive

SEGMENTS = 24  # around
RINGS = 6  # from the equator to the pole of a round end


@dataclass(frozen=True)
class Mesh:
    """``vertices`` (n, 3) in m and ``faces`` (m, 3) of indices, counter-clockwise seen from outside."""

    vertices: Array
    faces: NDArray[np.int32]


def mesh_of(primitives: Sequence[Primitive]) -> Mesh:
    """The primitives of one body, in its frame. Edges are sharp: faces that meet at one share no vertex."""
    vertices, faces, count = [], [], 0
    for primitive in primitives:
        local = _box(primitive) if primitive.kind == "box" else _turned(_profile(primitive))
        placed = rotations.rotate(np.array(primitive.quaternion), local.vertices) + np.array(primitive.position)
        vertices.append(placed)
        faces.append(local.faces + count)
        count += len(placed)
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32))


def _box(primitive: Primitive) -> Mesh:
    """Six faces of four vertices each."""
    vertices: list[Array] = []
    faces: list[list[list[int]]] = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            corners = np.zeros((4, 3))
            corners[:, axis] = side
            corners[:, u] = np.array([-1, 1, 1, -1]) * side
            corners[:, v] = [-1, -1, 1, 1]
            start = 4 * len(vertices)
            vertices.append(corners * np.array(primitive.size))
            faces.append([[start, start + 1, start + 2], [start, start + 2, start + 3]])
    return Mesh(np.concatenate(vertices), np.array(faces, dtype=np.int32).reshape(-1, 3))


def _profile(primitive: Primitive) -> list[Array]:
    """The outline of a round body: strips of (radius, height), from bottom to top, sharp between strips."""
    radius, half = primitive.size[0], primitive.size[1] if len(primitive.size) > 1 else 0.0
    if primitive.kind == "cylinder":
        lid = np.array([[radius, half], [0.0, half]])
        return [np.array([[0.0, -half], [radius, -half]]), np.array([[radius, -half], [radius, half]]), lid]
    quarter = np.linspace(0.0, np.pi / 2, RINGS + 1)
    top = np.stack([radius * np.cos(quarter), half + radius * np.sin(quarter)], axis=1)
    bottom = top[::-1] * np.array([1.0, -1.0])
    return [np.concatenate([bottom, top])]


def _turned(strips: list[Array]) -> Mesh:
    """The surface that the strips sweep about z."""
    angle = np.linspace(0.0, 2.0 * np.pi, SEGMENTS, endpoint=False)
    vertices, faces, count = [], [], 0
    for strip in strips:
        rings = [np.stack([r * np.cos(angle), r * np.sin(angle), np.full(SEGMENTS, z)], axis=1) for r, z in strip]
        vertices.append(np.concatenate(rings))
        for ring in range(len(strip) - 1):
            a = count + ring * SEGMENTS + np.arange(SEGMENTS)
            b = count + ring * SEGMENTS + (np.arange(SEGMENTS) + 1) % SEGMENTS
            faces += [np.stack([a, b, b + SEGMENTS], axis=1), np.stack([a, b + SEGMENTS, a + SEGMENTS], axis=1)]
        count += len(strip) * SEGMENTS
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32))
