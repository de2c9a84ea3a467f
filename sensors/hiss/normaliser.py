"""Mean and scale of channels, taken over the training trials alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

Array = NDArray[np.float64]
_LEAST = 1e-12


@dataclass(frozen=True)
class Normaliser:
    """x to (x - ``mean``) / ``scale``, each (D,)."""

    mean: Array
    scale: Array

    def __call__(self, x: Array) -> Array:
        """``x`` (..., D) normalised."""
        return np.asarray((x - self.mean) / self.scale)

    def back(self, z: Array) -> Array:
        """The inverse."""
        return np.asarray(z * self.scale + self.mean)

    def facts(self) -> tuple[list[float], list[float]]:
        """Mean and scale as a card holds them."""
        return self.mean.tolist(), self.scale.tolist()


def fit(rows: Iterable[Array], *, centred: bool = True) -> Normaliser:
    """Over all rows of the arrays (n, D). A channel that hardly varies is only shifted; not ``centred``: mean 0."""
    n, total, square = 0, np.zeros(1), np.zeros(1)
    for block in rows:
        n += len(block)
        total = total + block.sum(axis=0)
        square = square + np.square(block).sum(axis=0)
    if n == 0:
        raise InputError("nothing to normalise by", where="training trials", right="at least one sample")
    mean = total / n
    deviation = np.sqrt(np.maximum(square / n - mean * mean, 0.0)) if centred else np.sqrt(square / n)
    mean = mean if centred else np.zeros_like(mean)
    return Normaliser(mean, np.where(deviation > _LEAST * (1.0 + np.abs(mean)), deviation, 1.0))


def from_card(facts: Any, columns: int, *, where: str) -> Normaliser:
    """The normaliser that a card holds; InputError where it is not of ``columns``, finite and above zero."""
    try:
        mean, scale = (np.array(part, dtype=np.float64) for part in facts)
    except (TypeError, ValueError) as error:
        raise InputError(f"the normaliser cannot be read ({error})", where=where, right="mean and scale") from error
    good = mean.shape == scale.shape == (columns,) and np.isfinite(mean).all() and np.isfinite(scale).all()
    if not good or not (scale > 0.0).all():
        right = f"{columns} finite means and {columns} scales above 0"
        raise InputError("the normaliser is not of this model's channels", where=where, right=right)
    return Normaliser(mean, scale)
