"""Noise that lasts: each step's is Gaussian as the policy says, and like that of the step before."""

from __future__ import annotations

import itertools

import pytest
import torch

from knuckle.policy.learned.smooth_noise import SmoothGaussian


@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.95])
def test_the_marginal_is_the_policys_gaussian_and_steps_are_correlated(correlation: float) -> None:
    torch.manual_seed(0)
    noise = SmoothGaussian(3, correlation)
    mean, log_std = torch.tensor([1.0, -2.0, 0.5]).repeat(4000, 1), torch.tensor([-1.0, 0.0, 0.5])
    drawn = torch.stack([noise.proba_distribution(mean, log_std).sample() for _ in range(8)])
    scaled = (drawn - mean) / log_std.exp()
    for step in scaled:
        assert abs(float(step.mean())) < 0.05 and abs(float(step.std()) - 1.0) < 0.03
    for before, after in itertools.pairwise(scaled):
        assert abs(float((before * after).mean()) - correlation) < 0.05


def test_it_forgets_where_it_is_told_to() -> None:
    torch.manual_seed(0)
    noise = SmoothGaussian(2, 0.95)
    mean, log_std = torch.zeros(20_000, 2), torch.zeros(2)
    first = noise.proba_distribution(mean, log_std).sample()
    noise.begin()
    second = noise.proba_distribution(mean, log_std).sample()
    assert abs(float((first * second).mean())) < 0.03
