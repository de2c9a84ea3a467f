"""Where a finger's links, but for the round end, are nearest to an object: the servo housings bear and push it too.

Of the fingers that touch an object one in four does so with a box of one of its links, and half of those with nothing
else (docs/experiments/2026-11-28-foresight.md). A link's points are held against the object, and the object's against
the link, so a corner in the middle of a face is found from either side; of two edges that cross the nearest points of
the two grids are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Link, Primitive
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.hardware.spec.primitive_distance import PrimitiveDistances
from knuckle.hardware.spec.tip_kinematics import TipKinematics

GRID_M, RIM = 0.016, 12
"""How far points on a box stand apart at most, m, and how many are on a rim."""
SAME_M, SLOPE_M = 5e-4, 1e-4
"""Points that are as near as the nearest but for this are the contact with it: the middle of a face, not any corner."""


@dataclass(frozen=True)
class Nearest:
    """Of each finger (d, G, ...) the ``link`` that is nearest to the object, counted from the base, the point where it
    is, in the link's frame ``local``, in the object's ``seen``, the object's outward ``normal`` there, in the object's
    frame, and the ``gap``, m."""

    link: NDArray[np.intp]
    local: Array
    seen: Array
    normal: Array
    gap: Array


class LinkTouch:
    """Finds where the boxes of the links of ``hand`` are nearest to ``shape``, of whose surface ``points`` (n, 3) are
    looked at. InputError for a hand with a link of a finger that has none."""

    def __init__(self, hand: HandSpec, shape: ObjectShape, points: Array) -> None:
        self.shape, self.points = shape, points
        links = finger_boxes(hand)
        self._boxes = [PrimitiveDistances(boxes) for boxes in links]
        self._grids = [np.concatenate([box_grid(p, GRID_M) for p in boxes]) for boxes in links]
        self._counts = np.array([len(grid) for grid in self._grids])

    def __call__(self, place: Array, turn: Array) -> Nearest:
        """Where links at ``place`` (d, G, K, 3), m, turned by the matrices ``turn`` (d, G, K, 3, 3), both seen from the
        object, are nearest to it."""
        seen, gaps = self._points_about(place, turn)
        d, fingers, count = place.shape[:3]
        owner = np.concatenate(
            [np.repeat(np.arange(count), self._counts), np.repeat(np.arange(count), len(self.points))]
        )
        best = gaps.argmin(axis=-1)
        gap, link = np.take_along_axis(gaps, best[..., None], axis=-1), owner[best]
        weights = shares(gaps) * (owner == link[..., None])
        weights /= weights.sum(axis=-1, keepdims=True)
        point = (weights[..., None, :] @ seen)[..., 0, :]
        rows = np.arange(d)[:, None], np.arange(fingers), link
        turned = turn[rows]
        local = ((point - place[rows])[..., None, :] @ turned)[..., 0, :]
        of_object = slope(self.shape.distance, point)
        of_link = np.stack([slope(boxes, local) for boxes in self._boxes], axis=2)[rows]
        of_link = -(turned @ of_link[..., None])[..., 0]
        # A link's points are held against the object, whose slope counts there, and the object's against the link.
        own = weights[..., : self._counts.sum()].sum(axis=-1)[..., None]
        return Nearest(link, local, point, unit(own * of_object + (1.0 - own) * of_link), gap[..., 0])

    def _points_about(self, place: Array, turn: Array) -> tuple[Array, Array]:
        """All points (d, G, P, 3) that may be the nearest, object's frame, and their gaps (d, G, P): those of each link
        in turn, and then the object's against each link."""
        back = turn.swapaxes(-1, -2)
        own = np.concatenate(
            [grid @ back[:, :, k] + place[:, :, k, None] for k, grid in enumerate(self._grids)], axis=2
        )
        local = [(self.points - place[:, :, k, None]) @ turn[:, :, k] for k in range(len(self._boxes))]
        gaps = [self.shape.distance(own), *(boxes(at) for boxes, at in zip(self._boxes, local, strict=True))]
        theirs = np.broadcast_to(
            np.tile(self.points, (len(local), 1)), (*own.shape[:2], len(local) * len(self.points), 3)
        )
        return np.concatenate([own, theirs], axis=2), np.concatenate(gaps, axis=-1)


def shares(gaps: Array) -> Array:
    """How much points with ``gaps`` (..., n), m, are the contact: 1 in all."""
    weights = np.exp((gaps.min(axis=-1, keepdims=True) - gaps) / SAME_M)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def slope(distance: Callable[[Array], Array], points: Array) -> Array:
    """The direction (..., 3) in which ``distance`` grows at ``points`` (..., 3), as steep as it does."""
    beside = SLOPE_M * np.eye(3)
    near = distance(points[..., None, :] + np.concatenate([beside, -beside]))
    return np.asarray((near[..., :3] - near[..., 3:]) / (2.0 * SLOPE_M))


def unit(slopes: Array) -> Array:
    """``slopes`` (..., 3) as directions. Between two solids a slope is short, and stays so: there is no one normal."""
    return np.asarray(slopes / np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 0.3))


def box_grid(box: Primitive, apart: float) -> Array:
    """Points (n, 3) on the surface of ``box``, its corners among them, at most ``apart`` m from each other along its
    edges; in the link's frame."""
    counts = [max(int(np.ceil(2.0 * half / apart)), 1) + 1 for half in box.size]
    steps = [np.linspace(-half, half, count) for half, count in zip(box.size, counts, strict=True)]
    inner = [range(1, count - 1) for count in counts]
    cells = product(*(range(count) for count in counts))
    surface = [cell for cell in cells if any(k not in inside for k, inside in zip(cell, inner, strict=True))]
    local = np.array([[steps[axis][k] for axis, k in enumerate(cell)] for cell in surface])
    return np.asarray(rotations.rotate(np.array(box.quaternion), local) + np.array(box.position))


def corners(solid: Primitive) -> Array:
    """The corners (8, 3) of a box, or some of the two rims (n, 3) of a cylinder, in the link's frame; none (0, 3) of
    what is round."""
    if solid.kind == "box":
        return box_grid(solid, np.inf)
    if solid.kind != "cylinder":
        return np.zeros((0, 3))
    (radius, half), around = solid.size, np.linspace(0.0, 2.0 * np.pi, RIM, endpoint=False)
    rim = np.stack([radius * np.cos(around), radius * np.sin(around), np.full(RIM, half)], axis=-1)
    local = np.concatenate([rim, rim * [1.0, 1.0, -1.0]])
    return np.asarray(rotations.rotate(np.array(solid.quaternion), local) + np.array(solid.position))


def finger_boxes(hand: HandSpec) -> list[tuple[Primitive, ...]]:
    """The boxes of each link of the first finger, which all fingers are like, from the base on. InputError for a hand
    with a link of a finger that has none."""
    links = {link.name: link for link in hand.links}
    chain: list[Link] = []
    link = links[hand.tips[0].link]
    for _ in TipKinematics(hand).joints[0]:
        chain.insert(0, link)
        link = links[link.parent or ""]
    boxes = [tuple(p for p in link.primitives if p.kind == "box") for link in chain]
    if not all(boxes):
        bare = next(link.name for link, found in zip(chain, boxes, strict=True) if not found)
        what = f"{bare} has no box that could touch an object"
        raise InputError(what, where=f"hand {hand.name}", right="links like the D'Claw's")
    return boxes
