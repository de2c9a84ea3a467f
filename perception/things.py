"""What a detector said of one frame, in space or in an image, and which of it can be used at all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array

MOST = 500
FARTHEST = 1e5
LONGEST_LABEL = 64


@dataclass(frozen=True)
class Things:
    """Things of one frame at ``stamp_ns``, M of them.

    ``centres`` (M, 3) and ``sizes`` (M, 3) along the axes of ``frame``, in m; in an image in px, x to the right and y
    down, with z and depth 0. ``scores`` (M,) 0 to 1, ``labels`` the class of each.
    """

    stamp_ns: int
    frame: str
    centres: Array
    sizes: Array
    scores: Array
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, kept: NDArray[np.bool_]) -> Things:
        """Some of them."""
        labels = tuple(label for label, keep in zip(self.labels, kept, strict=True) if keep)
        return Things(self.stamp_ns, self.frame, self.centres[kept], self.sizes[kept], self.scores[kept], labels)


def only_usable(given: Things, classes: Collection[str], axes: int) -> tuple[Things, list[str]]:
    """``given`` without what is no thing, and one line for each that was left out.

    Left out are centres, sizes and scores that are not finite or far beyond everything, sizes that are not above zero
    along one of the first ``axes`` axes, classes that are none of ``classes`` (all are known where it is empty; one
    must be named, in 64 characters), and all beyond the first 500.
    """
    problems, kept = [], np.ones(len(given), dtype=bool)
    for k, label in enumerate(given.labels):
        problem = _problem(given, k, label, classes, axes)
        if k >= MOST:
            problem = f"more than {MOST} things in one frame"
            problems.append(problem)
            kept[k:] = False
            break
        if problem:
            problems.append(f"thing {k}: {problem}")
            kept[k] = False
    return (given if kept.all() else given.take(kept)), problems


def _problem(given: Things, k: int, label: str, classes: Collection[str], axes: int) -> str:
    numbers = np.concatenate([given.centres[k], given.sizes[k], given.scores[k : k + 1]])
    if not np.isfinite(numbers).all():
        return "a value that is not finite"
    if np.abs(numbers).max() > FARTHEST:
        return f"a value of {np.abs(numbers).max():.3g}"
    if (given.sizes[k, :axes] <= 0.0).any():
        return f"a size of {given.sizes[k, :axes].round(4).tolist()}"
    if not label or len(label) > LONGEST_LABEL or (classes and label not in classes):
        return f"unknown class '{label[:LONGEST_LABEL]}'"
    return ""
