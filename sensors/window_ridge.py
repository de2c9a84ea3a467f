"""The linear rival: ridge regression from a window of samples to the target at its end.

w = (X^T X + lambda n I)^-1 X^T y over standardised channels, with an offset. Sums over recordings are added up one by
one, so the windows of all of them are never in memory at once. Before the first whole window the recording is padded
with its first row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import InputError
from knuckle.sensors.estimator import Array


@dataclass(frozen=True)
class WindowRidge:
    """A fitted one: ``weights`` (window C, D) and ``offset`` (D,) over channels standardised by ``mean`` and ``scale``
    (C,)."""

    window: int
    every: int
    mean: Array
    scale: Array
    weights: Array
    offset: Array

    def __call__(self, signals: Array) -> Array:
        """The estimates (K, D) at the end of each ``every`` samples of ``signals`` (every K, C); causal."""
        return np.asarray(
            _windows((signals - self.mean) / self.scale, self.window, self.every) @ self.weights + self.offset
        )


def fit_ridge(pairs: Iterable[tuple[Array, Array]], *, window: int, every: int, strength: float = 1e-4) -> WindowRidge:
    """Fit to ``pairs`` of signals (every K, C) and targets (K, D); ``strength`` is lambda.

    InputError where the pairs do not fit each other or there is none.
    """
    pairs = list(pairs)
    if not pairs:
        raise InputError("there is no recording to fit to", where="ridge", right="at least one")
    for signals, targets in pairs:
        if len(signals) != every * len(targets):
            what = f"{len(signals)} samples do not fit {len(targets)} targets"
            raise InputError(what, where="ridge", right=f"{every} samples to each target")
    everything = np.concatenate([signals for signals, _ in pairs])
    mean, scale = everything.mean(axis=0), everything.std(axis=0)
    scale = np.asarray(np.where(scale > 0.0, scale, 1.0), dtype=np.float64)
    n = sum(len(targets) for _, targets in pairs)
    offset = sum(targets.sum(axis=0) for _, targets in pairs) / n
    size = window * everything.shape[1]
    products, cross, total = np.zeros((size, size)), np.zeros((size, len(offset))), np.zeros(size)
    for signals, targets in pairs:
        x = _windows((signals - mean) / scale, window, every)
        products += x.T @ x
        cross += x.T @ (targets - offset)
        total += x.sum(axis=0)
    products -= np.outer(total, total) / n
    weights = np.asarray(np.linalg.solve(products + strength * n * np.eye(size), cross), dtype=np.float64)
    return WindowRidge(window, every, mean, scale, weights, np.asarray(offset - total @ weights / n))


def _windows(x: Array, window: int, every: int) -> Array:
    """The windows (K, window C) that end with each ``every`` rows of ``x`` (every K, C)."""
    padded = np.concatenate([np.repeat(x[:1], max(0, window - every), axis=0), x])
    first = len(padded) - len(x) + every - window
    view = np.lib.stride_tricks.sliding_window_view(padded[first:], window, axis=0)[::every]
    return np.asarray(np.swapaxes(view, 1, 2).reshape(len(view), -1))
