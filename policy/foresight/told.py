"""Labelled decisions as a network reads them: what is told of fingers and chunks, and what became of the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.foresight.labelling import SCENE_PARTS, Labelled, joined
from knuckle.policy.learned.contact_features import ContactFeatures, Scene
from knuckle.sim.objects import object_shape

ROWS_AT_ONCE = 4000
"""Decisions whose features are computed at once: a bound on memory."""


@dataclass(frozen=True)
class Told:
    """Decisions as a network reads them, half precision: ``fingers`` (n, G, F'), ``chunks`` (n, m, G, F).

    What became of each chunk is ``moved`` (n, m, 3 * steps + 3), float32.
    """

    fingers: NDArray[np.float16]
    chunks: NDArray[np.float16]
    moved: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.fingers)


def told(episodes: list[Labelled], hand: HandSpec, looked_at: tuple[int, ...]) -> Told:
    """The decisions of ``episodes``, object by object; InputError where there are none, or their chunks differ."""
    by_object: dict[str, list[Labelled]] = {}
    shapes = set()
    for episode in episodes:
        if len(episode.goal):
            by_object.setdefault(str(episode.facts["object"]), []).append(episode)
            shapes.add(episode.chunks.shape[1:3])
    if len(shapes) != 1:
        what = f"decisions of chunks (labelled, steps) {sorted(shapes)}" if shapes else "no decision to learn from"
        raise InputError(what, where="foresight", right="episodes labelled with one setting")
    if max(looked_at) >= next(iter(shapes))[1]:
        what = f"step {max(looked_at)} of chunks of {next(iter(shapes))[1]} is looked at"
        raise InputError(what, where="foresight", right="steps that are foreseen")
    parts: list[tuple[NDArray[Any], ...]] = []
    for name, some in by_object.items():
        features, whole = ContactFeatures(hand, object_shape(name), looked_at), joined(some)
        for at in range(0, len(whole.goal), ROWS_AT_ONCE):
            rows = slice(at, at + ROWS_AT_ONCE)
            scene = Scene(*(getattr(whole.scene, part)[rows] for part in SCENE_PARTS))
            fingers, chunks = features(scene, whole.chunks[rows].astype(np.float64))
            became = moved(scene, whole.poses[rows].astype(np.float64)).astype(np.float32)
            parts.append((fingers.astype(np.float16), chunks.astype(np.float16), became))
    return Told(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def moved(scene: Scene, poses: Array) -> Array:
    """How ``poses`` (d, n, steps, 7) are turned from ``scene``, rotation vectors, and how far the last one is shifted,
    world frame (d, n, 3 * steps + 3)."""
    inverse = rotations.conjugate(scene.quaternion)[:, None, None]
    turns = rotations.log(rotations.multiply(rotations.normalize(poses[..., 3:]), inverse))
    shift = poses[:, :, -1, :3] - scene.position[:, None]
    return np.concatenate([turns.reshape(*turns.shape[:2], -1), shift], axis=-1)
