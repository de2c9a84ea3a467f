"""Thinning a cloud to one point a voxel: the mean of the points in it, in an order that depends on nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 21  # bits of an index along one axis: +-1 million voxels, 5 km at 5 mm


def voxel_means(points: NDArray[np.float32], size_m: float) -> NDArray[np.float64]:
    """The mean (m, 3) float64 of the points (n, 3) of each occupied voxel, sorted by the voxel's index x, y, z.

    Voxels of edge ``size_m`` are centred on whole multiples of it, so that a plane at such a height (the table) falls
    into one layer and noise does not split it in two. The sums run in the order of ``points``: the same points in the
    same order give the same bits.
    """
    if not len(points):
        return np.zeros((0, 3))
    index = np.floor(points.astype(np.float64) / size_m + 0.5).astype(np.int64)
    half = 1 << (_BITS - 1)
    key = ((index[:, 0] + half) << (2 * _BITS)) | ((index[:, 1] + half) << _BITS) | (index[:, 2] + half)
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.append(starts, len(ordered)))
    sums = np.add.reduceat(points[order].astype(np.float64), starts, axis=0)
    return np.asarray(sums / counts[:, None])
