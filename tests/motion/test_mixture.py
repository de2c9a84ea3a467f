from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from knuckle.core.errors import InputError
from knuckle.motion.bicycle import Bicycle
from knuckle.motion.mixture import Mixture, mixture_nll, sample_mixture, with_position_noise


def drawn(seed: int, *lead: int, modes: int = 3, steps: int = 4) -> Mixture:
    """A mixture whose modes overlap, in float64."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(*lead, modes, steps, 2, 2, generator=generator, dtype=torch.float64)
    return Mixture(
        torch.randn(*lead, modes, generator=generator, dtype=torch.float64),
        2 * torch.randn(*lead, modes, steps, 2, generator=generator, dtype=torch.float64),
        with_position_noise(root @ root.mT, 0.3),
    )


def test_the_loss_is_that_of_scipys_densities_added_up() -> None:
    mixture = drawn(0, 2)
    truth = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    nll = mixture_nll(mixture, truth)
    for i in range(2):
        weights = np.exp(mixture.log_weights[i].numpy())
        weights /= weights.sum()
        for t in range(4):
            density = sum(
                weights[k] * multivariate_normal(mixture.mean[i, k, t], mixture.covariance[i, k, t]).pdf(truth[i, t])
                for k in range(3)
            )
            assert float(nll[i, t]) == pytest.approx(-math.log(density), rel=1e-9)


def test_a_truth_that_is_far_away_costs_much_and_is_not_infinite() -> None:
    mixture = drawn(2)
    far = Mixture(mixture.log_weights.float(), mixture.mean.float(), mixture.covariance.float())
    nll = mixture_nll(far, torch.full((4, 2), 1e4))
    assert torch.isfinite(nll).all() and (nll > 1e4).all()


def test_samples_have_the_mixtures_mean_and_covariance() -> None:
    mixture = drawn(3, 2)
    samples = sample_mixture(mixture, 10_000, torch.Generator().manual_seed(4))
    assert samples.shape == (10_000, 2, 4, 2)
    weights = mixture.log_weights.softmax(-1)[..., None, None]
    mean = (weights * mixture.mean).sum(1)
    offset = mixture.mean - mean[:, None]
    inner = mixture.covariance + offset[..., :, None] * offset[..., None, :]
    covariance = (weights[..., None] * inner).sum(1)
    torch.testing.assert_close(samples.mean(0), mean, rtol=0, atol=0.12)
    centred = samples - samples.mean(0)
    sampled = (centred[..., :, None] * centred[..., None, :]).mean(0)
    assert ((sampled - covariance).norm(dim=(-2, -1)) < 0.1 * covariance.norm(dim=(-2, -1))).all()


def test_all_steps_of_a_sample_are_of_one_mode() -> None:
    apart = Mixture(torch.zeros(2), torch.tensor([[[0.0, 0]] * 5, [[100.0, 0]] * 5]), torch.eye(2).expand(2, 5, 2, 2))
    samples = sample_mixture(apart, 200, torch.Generator().manual_seed(5))
    right = samples[..., 0] > 50
    assert torch.equal(right, right[:, :1].expand_as(right))
    assert 60 < int(right[:, 0].sum()) < 140


def test_a_forecast_without_spread_in_its_first_step_has_a_likelihood_and_gradients_once_positions_are_measured() -> (
    None
):
    start = torch.tensor([[[0.0, 0, 0, 8]]])
    control = torch.zeros(1, 2, 10, 2, requires_grad=True)
    variance = torch.full((1, 2, 10, 2), 0.01)
    forecast = Bicycle().forecast(start, control, variance, 0.1)
    mixture = Mixture(torch.zeros(1, 2), forecast.mean, with_position_noise(forecast.covariance, 0.05))
    loss = mixture_nll(mixture, forecast.mean[:, 0].detach() + 0.1).mean()
    (gradient,) = torch.autograd.grad(loss, control)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all() and gradient[:, :, 0].abs().sum() > 0


def test_positions_that_are_known_exactly_are_sampled_exactly() -> None:
    known = torch.tensor([[[0.0, 0], [0, 0]], [[0, 0], [0, 4]], [[1, 2], [2, 4]]])
    mixture = Mixture(torch.zeros(1), torch.ones(1, 3, 2), known[None])
    offset = sample_mixture(mixture, 2000, torch.Generator().manual_seed(6)) - 1
    assert not offset[:, 0].any() and not offset[:, 1, 0].any()
    assert float(offset[:, 1, 1].std()) == pytest.approx(2, rel=0.1)
    torch.testing.assert_close(offset[:, 2, 1], 2 * offset[:, 2, 0], rtol=1e-4, atol=1e-5)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match=r"weights \(3,\), means \(2, 5, 2\)"):
        Mixture(torch.zeros(3), torch.zeros(2, 5, 2), torch.zeros(2, 5, 2, 2))
