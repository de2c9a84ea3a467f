"""The history that a forecaster is given, looked at: shapes, rows that were not seen, times."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.core.errors import InputError

Array = NDArray[np.float64]
FARTHEST_M = 1e5
"""A position farther from the origin is no position in m, or not in a frame near to what moves."""
WHERE = "history"


def read_history(history: ArrayLike, dt_s: ArrayLike) -> tuple[Array, Array]:
    """Positions (N, T, 2 or 3) with NaN where not seen, and the times (T - 1,) between rows, in s.

    ``history`` (N, T, D): D 2 or 3 are points, 4 and 6 boxes (centre, then extent). Raises InputError for another
    shape, a row that is known in part, an infinite or far value, an extent below zero, a track that was never seen, or
    times that are not above zero.
    """
    given = np.asarray(history, dtype=np.float64)
    if given.ndim != 3 or given.shape[1] == 0 or given.shape[2] not in (2, 3, 4, 6):
        right = "(tracks, rows, 2 or 3 of a point, 4 or 6 of a box)"
        raise InputError(f"a history of shape {given.shape}", where=WHERE, right=right)
    unknown = np.isnan(given)
    dimensions = given.shape[2] if given.shape[2] < 4 else given.shape[2] // 2
    points = given[..., :dimensions]
    partly = unknown.any(-1) & ~unknown.all(-1)
    if partly.any():
        track, row = np.argwhere(partly)[0]
        raise InputError(f"track {track} is known in part in row {row}", where=WHERE, right="all of it, or all NaN")
    known = np.where(unknown, 0.0, given)
    if not (np.abs(known) < FARTHEST_M).all():
        track = int(np.argwhere(~(np.abs(known) < FARTHEST_M))[0, 0])
        what = f"track {track} has a value of {np.abs(known[track]).max():.3g} m"
        raise InputError(what, where=WHERE, right=f"within {FARTHEST_M:g} m of the frame's origin")
    if (known[..., dimensions:] < 0.0).any():
        track = int(np.argwhere((known[..., dimensions:] < 0.0).any(-1))[0, 0])
        raise InputError(f"track {track} has an extent below 0", where=WHERE, right="centre, then extent, in m")
    never = unknown.all(axis=(1, 2))
    if never.any():
        raise InputError(f"track {np.flatnonzero(never)[0]} was never seen", where=WHERE, right="one row at least")
    return points, _steps(dt_s, given.shape[1])


def _steps(dt_s: ArrayLike, rows: int) -> Array:
    steps = np.asarray(dt_s, dtype=np.float64)
    if steps.ndim > 1 or (steps.ndim == 1 and len(steps) != rows - 1):
        right = f"one number, or {rows - 1} between {rows} rows"
        raise InputError(f"times of shape {steps.shape}", where=WHERE, right=right)
    if not ((steps > 0.0) & (steps < 1e4)).all():
        raise InputError(
            f"a time of {float(steps.min(initial=np.inf)):.3g} s between rows", where=WHERE, right="above 0 s"
        )
    return np.broadcast_to(steps, (rows - 1,)).astype(np.float64)
