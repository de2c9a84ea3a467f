"""How wrong a forecast's covariance is, by sampling the motion itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from knuckle.motion.forecast import Form
from knuckle.motion.formulations import Formulation


@dataclass(frozen=True)
class CovarianceError:
    """Standard deviations of the last position along and across the track in m: forecast over sampled, less one.

    ``bias_m`` is the distance between the forecast's mean and that of the samples.
    """

    along: float
    across: float
    sampled_along_m: float
    sampled_across_m: float
    bias_m: float


def covariance_error(
    formulation: Formulation,
    start: Tensor,
    control: Tensor,
    variance: Tensor,
    dt_s: float,
    *,
    form: Form,
    samples: int,
    generator: torch.Generator,
) -> CovarianceError:
    """Compare with ``samples`` rolled out step by step: start (n,), control means and variances (T, 2).

    Along is the direction of the forecast's last step. The sampling error of a standard deviation is
    1 / sqrt(2 samples).
    """
    forecast = formulation.forecast(start, control, variance, dt_s, form=form)
    rolled = sample_positions(formulation, start, control, variance, dt_s, samples=samples, generator=generator)
    before = forecast.mean[-2] if len(control) > 1 else start[:2]
    along = torch.nn.functional.normalize(forecast.mean[-1] - before, dim=0)
    axes = torch.stack([along, torch.stack([-along[1], along[0]])])
    sampled = (rolled @ axes.T).std(0)
    ratio = (axes @ forecast.covariance[-1] @ axes.T).diagonal().sqrt() / sampled - 1
    bias = float((rolled.mean(0) - forecast.mean[-1]).norm())
    return CovarianceError(float(ratio[0]), float(ratio[1]), float(sampled[0]), float(sampled[1]), bias)


def sample_positions(
    formulation: Formulation,
    start: Tensor,
    control: Tensor,
    variance: Tensor,
    dt_s: float,
    *,
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Last positions (samples, 2) of the motion under controls drawn anew at each step."""
    state = start.expand(samples, -1)
    for mean, spread in zip(control, variance.sqrt(), strict=True):
        noise = torch.randn(samples, 2, generator=generator, dtype=start.dtype)
        state = formulation.step(state, mean + spread * noise, dt_s)
    return state[:, :2]
