"""The object in hand as something known, not to be taken for a stranger: its shape and where it was seen last."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Primitive
from knuckle.hardware.spec.kinematics import base_to_world
from knuckle.hardware.spec.primitive_distance import signed_distance

REMEMBERED = 32
FRESH_NS = 500_000_000
HELD_RADIUS_M = 0.11
HELD_BELOW_BASE_M = 0.14


@dataclass(frozen=True)
class KnownObject:
    """Something of known shape: its primitives in its own frame, and its pose in the world (m, w x y z)."""

    primitives: Sequence[Primitive]
    position: Array
    quaternion: Array

    def distance(self, points: Array) -> Array:
        """Distance (n,) in m of ``points`` (n, 3) of the world to its surface, negative inside."""
        local = rotations.rotate(rotations.conjugate(self.quaternion), points - self.position)
        return np.asarray(np.min([signed_distance(p, local) for p in self.primitives], axis=0))


class HeldObject:
    """The object in hand over time. Where its pose is not known, whatever lies where the hand holds things is it."""

    def __init__(self, spec: HandSpec) -> None:
        place = base_to_world(spec, np.array([0.0, 0.0, HELD_BELOW_BASE_M]))
        self._anything = KnownObject(
            [Primitive("sphere", (HELD_RADIUS_M,), (0.0, 0.0, 0.0))], place, rotations.IDENTITY
        )
        self._shape: Sequence[Primitive] | None = None
        self._poses: deque[tuple[int, Array, Array]] = deque(maxlen=REMEMBERED)

    def is_now(self, primitives: Sequence[Primitive] | None) -> None:
        """Another object, or None for one of unknown shape; where it is must be said anew."""
        self._shape = primitives
        self._poses.clear()

    def was_seen(self, stamp_ns: int, position: Array, quaternion: Array) -> None:
        """Its pose in the world, m and w x y z, at ``stamp_ns``."""
        self._poses.append((stamp_ns, position, quaternion))

    def at(self, stamp_ns: int) -> KnownObject:
        """The object as it was nearest to ``stamp_ns``; a ball where the hand holds things, without a pose near it."""
        if self._shape is None or not self._poses:
            return self._anything
        seen_ns, position, quaternion = min(self._poses, key=lambda pose: abs(pose[0] - stamp_ns))
        if abs(seen_ns - stamp_ns) > FRESH_NS:
            return self._anything
        return KnownObject(self._shape, position, quaternion)
