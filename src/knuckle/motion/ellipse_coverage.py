"""Whether what happened lies as often inside a forecast's regions as they say: calibration."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.motion.mixture import Mixture, mixture_nll, sample_mixture, squared_distance


def inside_ellipse(mean: Tensor, covariance: Tensor, truth: Tensor, level: float) -> Tensor:
    """Whether truth (..., 2) lies in the Gaussian's ellipse of probability ``level``: booleans (...).

    In two dimensions the squared Mahalanobis distance of that ellipse is -2 ln(1 - level).
    """
    _check(level)
    return squared_distance(mean, covariance, truth) <= -2 * math.log1p(-level)


def inside_region(mixture: Mixture, truth: Tensor, level: float, *, samples: int, generator: torch.Generator) -> Tensor:
    """Whether truth (..., T, 2) lies in the smallest region that holds ``level`` of the mixture: booleans (..., T).

    For one mode this is its ellipse, for many what is inside one contour of their density. A position is inside where
    less than ``level`` of the mixture's own samples have a higher density.
    """
    _check(level)
    drawn = sample_mixture(mixture, samples, generator)
    here = mixture_nll(mixture, truth)
    denser = torch.zeros_like(here)
    for one in drawn:
        denser += mixture_nll(mixture, one) < here
    return denser < level * samples


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"a level of {level}", where="coverage", right="above 0 and below 1")
