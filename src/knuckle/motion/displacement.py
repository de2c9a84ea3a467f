"""How far the best of K forecast tracks is from what happened, as Waymo's and Argoverse 2's benchmarks define it."""

from __future__ import annotations

import torch
from torch import Tensor


def min_ade(modes: Tensor, truth: Tensor) -> Tensor:
    """The least mean distance over the steps in m: modes (..., K, T, 2), truth (..., T, 2) to (...)."""
    return _distances(modes, truth).mean(-1).amin(-1)


def min_fde(modes: Tensor, truth: Tensor) -> Tensor:
    """The least distance at the last step in m: modes (..., K, T, 2), truth (..., T, 2) to (...)."""
    return _distances(modes, truth)[..., -1].amin(-1)


def missed(modes: Tensor, truth: Tensor, threshold_m: float = 2.0) -> Tensor:
    """Whether no mode ends within ``threshold_m`` of the truth (...); the miss rate is its mean."""
    return min_fde(modes, truth) > threshold_m


def brier_min_fde(modes: Tensor, probabilities: Tensor, truth: Tensor) -> Tensor:
    """Argoverse 2's min_fde + (1 - p)^2, with p (..., K) that of the mode that ends nearest."""
    last, nearest = _distances(modes, truth)[..., -1].min(-1, keepdim=True)
    return (last + (1 - torch.gather(probabilities, -1, nearest)) ** 2)[..., 0]


def _distances(modes: Tensor, truth: Tensor) -> Tensor:
    distances: Tensor = (modes - truth[..., None, :, :]).norm(dim=-1)
    return distances
