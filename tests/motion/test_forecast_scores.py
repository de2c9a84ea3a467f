from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from knuckle.core.errors import InputError
from knuckle.motion.displacement import brier_min_fde, min_ade, min_fde, missed
from knuckle.motion.ellipse_coverage import inside_ellipse, inside_region
from knuckle.motion.energy_score import energy_score
from knuckle.motion.mixture import Mixture, sample_mixture


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_distances_are_those_of_loops_over_tracks_modes_and_steps() -> None:
    modes, truth = 2 * normal(0, 7, 6, 5, 2), normal(1, 7, 5, 2)
    probabilities = normal(2, 7, 6).softmax(-1)
    for i in range(7):
        far = np.array([[math.dist(modes[i, k, t], truth[i, t]) for t in range(5)] for k in range(6)])
        best = int(far[:, -1].argmin())
        assert float(min_ade(modes, truth)[i]) == pytest.approx(far.mean(1).min())
        assert float(min_fde(modes, truth)[i]) == pytest.approx(far[best, -1])
        assert bool(missed(modes, truth)[i]) == (far[best, -1] > 2)
        brier = far[best, -1] + (1 - float(probabilities[i, best])) ** 2
        assert float(brier_min_fde(modes, probabilities, truth)[i]) == pytest.approx(brier)
    assert 0 < int(missed(modes, truth).sum()) < 7


def test_the_best_mode_on_average_need_not_be_the_one_that_ends_nearest() -> None:
    truth = torch.zeros(3, 2)
    modes = torch.tensor([[[0.0, 0], [0, 0], [3, 0]], [[9.0, 0], [9, 0], [1, 0]]])
    assert float(min_ade(modes, truth)) == 1
    assert float(min_fde(modes, truth)) == 1
    assert not missed(modes, truth, 1.0) and missed(modes, truth, 0.9)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_an_ellipse_holds_the_share_of_truths_that_it_says(level: float) -> None:
    root = torch.tensor([[2.0, 0.0], [-1.5, 0.3]], dtype=torch.float64)
    truth = 1 + normal(3, 20_000, 2) @ root.T
    mean, covariance = torch.ones(2, dtype=torch.float64), root @ root.T
    share = float(inside_ellipse(mean, covariance, truth, level).double().mean())
    assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 20_000))
    narrow = float(inside_ellipse(mean, covariance / 4, truth, level).double().mean())
    assert narrow == pytest.approx(1 - (1 - level) ** 0.25, abs=0.02)  # Rayleigh at half the spread


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_a_mixtures_region_holds_the_share_of_its_own_truths_that_it_says(level: float) -> None:
    lead = (1500, 2)
    mean = torch.tensor([[[0.0, 0]], [[6.0, 0]], [[6.0, 2]]], dtype=torch.float64).expand(*lead, 3, 1, 2)
    covariance = (torch.tensor([0.2, 1.0, 2.0], dtype=torch.float64)[:, None, None, None] * torch.eye(2)).double()
    mixture = Mixture(normal(4, *lead, 3), mean, covariance.expand(*lead, 3, 1, 2, 2))
    generator = torch.Generator().manual_seed(5)
    truth = sample_mixture(mixture, 1, generator)[0]
    inside = inside_region(mixture, truth, level, samples=100, generator=generator)
    assert inside.shape == (1500, 2, 1)
    assert float(inside.double().mean()) == pytest.approx(level, abs=0.03)


def test_the_region_of_one_mode_is_its_ellipse() -> None:
    covariance = torch.tensor([[2.0, 0.8], [0.8, 0.6]], dtype=torch.float64)
    truth = 2 * normal(6, 300, 1, 2)
    mixture = Mixture(
        torch.zeros(300, 1, dtype=torch.float64),
        torch.zeros(300, 1, 1, 2, dtype=torch.float64),
        covariance.expand(300, 1, 1, 2, 2),
    )
    region = inside_region(mixture, truth, 0.9, samples=1000, generator=torch.Generator().manual_seed(7))
    ellipse = inside_ellipse(torch.zeros(2, dtype=torch.float64), covariance, truth, 0.9)
    assert float((region == ellipse).double().mean()) > 0.97


def test_a_level_of_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"a level of 1.0"):
        inside_ellipse(torch.zeros(2), torch.eye(2), torch.zeros(2), 1.0)


def test_the_energy_score_is_that_of_loops_over_pairs() -> None:
    samples, truth = normal(8, 6, 3, 2), normal(9, 3, 2)
    for i in range(3):
        near = np.mean([math.dist(s, truth[i]) for s in samples[:, i]])
        pairs = [math.dist(samples[j, i], samples[k, i]) for j in range(6) for k in range(6) if j != k]
        assert float(energy_score(samples, truth)[i]) == pytest.approx(near - np.mean(pairs) / 2)


def test_the_energy_score_of_a_gaussian_at_its_mean_is_known() -> None:
    samples = 3 * normal(10, 600, 40, 2)
    score = energy_score(samples, torch.zeros(40, 2, dtype=torch.float64)).mean()
    assert float(score) == pytest.approx(3 * (math.sqrt(math.pi / 2) - math.sqrt(math.pi) / 2), rel=0.02)


def test_the_energy_score_prefers_the_spread_that_is_true() -> None:
    truth, samples = normal(11, 3000, 2), normal(12, 50, 3000, 2)
    right, narrow, wide = (float(energy_score(k * samples, truth).mean()) for k in (1.0, 0.4, 2.0))
    assert right < narrow and right < wide


def test_one_sample_has_no_energy_score() -> None:
    with pytest.raises(InputError, match="1 samples"):
        energy_score(torch.zeros(1, 2), torch.zeros(2))
