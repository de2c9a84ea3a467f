"""Mixtures of K Gaussian positions a step: their density, the loss of a forecaster, and samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from knuckle.core.errors import InputError


@dataclass(frozen=True)
class Mixture:
    """K modes over T steps, for any leading shape (...).

    ``log_weights`` (..., K), of any sum: they are normalised where they are read. ``mean`` (..., K, T, 2) in m,
    ``covariance`` (..., K, T, 2, 2) in m^2. Raises InputError where the shapes do not fit.
    """

    log_weights: Tensor
    mean: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        shape = self.mean.shape
        fits = self.mean.dim() >= 3 and shape[-1] == 2 and self.covariance.shape == (*shape, 2)
        if not fits or self.log_weights.shape != shape[:-2]:
            shapes = (tuple(t.shape) for t in (self.log_weights, self.mean, self.covariance))
            what = "weights {}, means {} and covariances {}".format(*shapes)
            raise InputError(what, where="Mixture", right="(..., K), (..., K, T, 2) and (..., K, T, 2, 2)")


def gaussian_log_density(mean: Tensor, covariance: Tensor, position: Tensor) -> Tensor:
    """log N(position; mean, covariance) in two dimensions, (..., 2) and (..., 2, 2) to (...)."""
    determinant, squared = _determinant(covariance), squared_distance(mean, covariance, position)
    return -0.5 * (squared + determinant.log()) - math.log(2 * math.pi)


def squared_distance(mean: Tensor, covariance: Tensor, position: Tensor) -> Tensor:
    """Mahalanobis' distance, squared: (..., 2) and (..., 2, 2) to (...)."""
    x, y = (position - mean).unbind(-1)
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    squared: Tensor = (yy * x**2 - 2 * xy * x * y + xx * y**2) / _determinant(covariance)
    return squared


def with_position_noise(covariance: Tensor, sigma_m: float) -> Tensor:
    """Covariances (..., 2, 2) with sigma_m^2 on their diagonals: what a position is measured with.

    The kinematics alone have none after the first step, where explicit Euler moves by what was there before, and
    little in one direction after the next few; a likelihood needs some.
    """
    return covariance + sigma_m**2 * torch.eye(2, dtype=covariance.dtype, device=covariance.device)


def mixture_nll(mixture: Mixture, truth: Tensor) -> Tensor:
    """-log of the mixture's density at truth (..., T, 2) in each step by itself, in nats: (..., T)."""
    modes = gaussian_log_density(mixture.mean, mixture.covariance, truth[..., None, :, :])
    return -torch.logsumexp(mixture.log_weights.log_softmax(-1)[..., None] + modes, -2)


def sample_mixture(mixture: Mixture, samples: int, generator: torch.Generator) -> Tensor:
    """Positions (samples, ..., T, 2), each step by itself: the steps of a sample share a mode and nothing else."""
    mean, covariance = mixture.mean, mixture.covariance
    weights = mixture.log_weights.softmax(-1)
    flat = weights.reshape(-1, weights.shape[-1])
    modes = torch.multinomial(flat, samples, replacement=True, generator=generator).T.reshape(
        samples, *weights.shape[:-1]
    )
    pick = modes[..., None, None, None].expand(*modes.shape, 1, *mean.shape[-2:])
    centre = mean.expand(samples, *mean.shape).gather(-3, pick)[..., 0, :, :]
    pick = pick[..., None].expand(*pick.shape, 2)
    spread = covariance.expand(samples, *covariance.shape).gather(-4, pick)[..., 0, :, :, :]
    noise = torch.randn(centre.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    drawn: Tensor = centre + (_root(spread) @ noise[..., None])[..., 0]
    return drawn


def _root(covariance: Tensor) -> Tensor:
    """Cholesky's lower triangle (..., 2, 2), for positions too that are known exactly in a direction or in both."""
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    a = xx.clamp(min=0).sqrt()
    b = torch.where(a > 0, xy / torch.where(a > 0, a, 1.0), 0.0)
    c = (yy - b**2).clamp(min=0).sqrt()
    return torch.stack([torch.stack([a, torch.zeros_like(a)], -1), torch.stack([b, c], -1)], -2)


def _determinant(covariance: Tensor) -> Tensor:
    determinant: Tensor = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] ** 2
    return determinant
