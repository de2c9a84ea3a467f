"""Each estimate is a mean and a covariance: how they stand in the network's output, their loss, their coverage.

For T targets the network gives P = T + T (T + 1) / 2 numbers, in units of the normalised targets: the mean, the logs of
the diagonal of a lower triangular L, and what is below it, row by row; the covariance is L L' times the square of
`spread.Spread`'s factor.

The mean is learned by its squared error alone, as in the paper, so that a hierarchy and its rivals are compared by
what they were trained for; the covariance by the Gaussian likelihood of the residual with the mean held fixed, which
keeps a large variance from excusing a bad mean (the fault that beta-NLL mends, Seitzer et al., ICLR 2022).
"""

from __future__ import annotations

import math

import torch

from knuckle.sensors.hiss.gaussian_factors import LOG_HIGH, LOG_LOW


def losses(
    raw: torch.Tensor, target: torch.Tensor, known: torch.Tensor, weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean squared error and mean negative log likelihood a target over rows where ``known`` (B, K) is true.

    ``raw`` (B, K, P), ``target`` (B, K, T), normalised; ``weights`` (B,) of the pieces' squared errors, 1 for None.
    Both are 0 where nothing is known.
    """
    t = target.shape[-1]
    each = torch.ones(len(raw)) if weights is None else weights
    rows = each[:, None].expand(known.shape)[known]
    raw, target = raw[known], target[known]
    n = max(len(raw) * t, 1)
    residual = target - raw[:, :t]
    square = (rows[:, None] * residual.square()).sum() / n
    log_diagonal = raw[:, t : 2 * t].clamp(LOG_LOW, LOG_HIGH)
    z = _solved(log_diagonal, raw[:, 2 * t :], residual.detach())
    nll = (0.5 * z.square() + log_diagonal + 0.5 * math.log(2.0 * math.pi)).sum() / n
    return square, nll


def _solved(log_diagonal: torch.Tensor, below: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
    """L^-1 residual (n, T), by forward substitution."""
    z: list[torch.Tensor] = []
    at = 0
    for i in range(residual.shape[-1]):
        value = residual[:, i]
        for j in range(i):
            value = value - below[:, at + j] * z[j]
        at += i
        z.append(value * torch.exp(-log_diagonal[:, i]))
    return torch.stack(z, dim=-1)
