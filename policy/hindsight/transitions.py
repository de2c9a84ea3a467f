"""Transitions of one kind, wherever they come from: what was seen, done, and seen then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Transitions:
    """``before`` and ``after`` (n, width) and ``actions`` (n, dof), float32; ``fallen`` (n,) where the object has left.

    ``later`` (n, 4), w x y z, is how the object lay at a later moment of the same episode, where it is ``known`` (n,).
    """

    before: NDArray[np.float32]
    actions: NDArray[np.float32]
    after: NDArray[np.float32]
    fallen: NDArray[np.bool_]
    later: NDArray[np.float32]
    known: NDArray[np.bool_]


def joined(parts: Sequence[Transitions]) -> Transitions:
    """All transitions of ``parts`` in turn."""
    arrays: dict[str, Any] = {
        part.name: np.concatenate([getattr(some, part.name) for some in parts]) for part in fields(Transitions)
    }
    return Transitions(**arrays)
