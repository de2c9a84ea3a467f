from __future__ import annotations

import math

import pytest
import torch

from knuckle.motion.bicycle import Bicycle
from knuckle.motion.covariance_error import CovarianceError, covariance_error
from knuckle.motion.forecast import Form
from knuckle.motion.formulations import FORMULATIONS, make_formulation

SAMPLES = 100_000
FORMS: tuple[Form, Form] = ("curved", "full")


def bicycle_error(
    form: Form, speed: float, acceleration: float, steering: float, *, steered: float = 0.0, steps: int = 80
) -> CovarianceError:
    """At 10 Hz, noise of acceleration and steering given, on a heading that is no axis of the map."""
    control = torch.tensor([0.0, steered], dtype=torch.float64).repeat(steps, 1)
    variance = torch.tensor([acceleration**2, steering**2], dtype=torch.float64).repeat(steps, 1)
    start = torch.tensor([3.0, -2.0, 0.5, speed], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    return covariance_error(Bicycle(), start, control, variance, 0.1, form=form, samples=SAMPLES, generator=generator)


@pytest.mark.parametrize("speed", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("acceleration", [0.2, 1.0])
@pytest.mark.parametrize("steered", [0.0, 0.02])
def test_the_curved_form_spreads_as_samples_do_after_eight_seconds(
    speed: float, acceleration: float, steered: float
) -> None:
    error = bicycle_error("curved", speed, acceleration, 0.02, steered=steered)
    assert abs(error.along) < 0.02
    assert abs(error.across) < 0.02
    assert error.bias_m < 0.1


@pytest.mark.parametrize(("speed", "acceleration", "steering"), [(10.0, 0.5, 0.1), (20.0, 0.5, 0.05), (5.0, 2.0, 0.02)])
def test_the_curved_form_holds_beyond_where_the_full_form_breaks(
    speed: float, acceleration: float, steering: float
) -> None:
    curved, full = (bicycle_error(form, speed, acceleration, steering) for form in FORMS)
    assert abs(curved.along) < 0.05 and abs(curved.across) < 0.05
    assert max(abs(full.along), abs(full.across)) > 0.07
    # The shift leaves a twentieth of the mean's error at most, beside what the sampled mean itself is wrong by.
    sampling_m = 4 * math.hypot(curved.sampled_along_m, curved.sampled_across_m) / math.sqrt(SAMPLES)
    assert curved.bias_m < full.bias_m / 20 + sampling_m


@pytest.mark.parametrize(("speed", "acceleration"), [(5.0, 1.0), (10.0, 0.5), (20.0, 1.0)])
def test_the_full_form_spreads_as_samples_do_where_turning_is_not_all_there_is(
    speed: float, acceleration: float
) -> None:
    error = bicycle_error("full", speed, acceleration, 0.02)
    assert abs(error.along) < 0.05
    assert abs(error.across) < 0.05


def test_the_full_form_is_too_small_along_a_fast_track_of_steady_speed() -> None:
    error = bicycle_error("full", 20.0, 0.2, 0.02)
    assert -0.30 < error.along < -0.20
    assert error.bias_m > 0.5


@pytest.mark.parametrize(("steps", "times_too_small"), [(10, 2.5), (30, 4.4), (80, 7.3)])
def test_the_papers_marginal_form_is_up_to_seven_times_too_small(steps: int, times_too_small: float) -> None:
    straight = covariance_error(
        Bicycle(),
        torch.tensor([0.0, 0, 0, 10], dtype=torch.float64),
        torch.zeros(steps, 2, dtype=torch.float64),
        torch.tensor([0.25, 0.0004], dtype=torch.float64).repeat(steps, 1),
        0.1,
        form="marginal",
        samples=SAMPLES // 2,
        generator=torch.Generator().manual_seed(1),
    )
    # n (n - 1) / 2 variances where there are (n - 1) n (2 n - 1) / 6
    assert 1 + straight.along == pytest.approx((3 / (2 * steps - 1)) ** 0.5, rel=0.02)
    assert 1 + straight.across == pytest.approx((3 / (2 * steps - 1)) ** 0.5, rel=0.02)
    assert 1 / (1 + straight.along) == pytest.approx(times_too_small, rel=0.03)


@pytest.mark.parametrize("name", sorted(set(FORMULATIONS) - {"bicycle"}))
def test_the_other_formulations_spread_as_samples_do(name: str) -> None:
    formulation = make_formulation(name)
    start = torch.tensor([1.0, 2.0, 8.0, -3.0][: len(formulation.states)], dtype=torch.float64)
    control = torch.tensor([4.0, 0.6], dtype=torch.float64).repeat(80, 1)
    variance = torch.tensor([0.5, 0.01], dtype=torch.float64).repeat(80, 1)
    generator = torch.Generator().manual_seed(3)
    error = covariance_error(
        formulation, start, control, variance, 0.1, form="full", samples=SAMPLES // 2, generator=generator
    )
    assert abs(error.along) < 0.02
    assert abs(error.across) < 0.02


def test_a_start_that_is_not_known_exactly_spreads_as_samples_do() -> None:
    generator = torch.Generator().manual_seed(4)
    root = torch.tensor(
        [[0.5, 0, 0, 0], [0.1, 0.3, 0, 0], [0, 0.02, 0.08, 0], [0.2, 0, -0.3, 0.6]], dtype=torch.float64
    )
    mean = torch.tensor([0.0, 0, 0.3, 10], dtype=torch.float64)
    state = mean + torch.randn(SAMPLES, 4, generator=generator, dtype=torch.float64) @ root.T
    control = torch.tensor([0.3, 0.03], dtype=torch.float64)
    for _ in range(50):
        state = Bicycle().step(state, control, 0.1)
    still = torch.zeros(50, 2, dtype=torch.float64)
    forecast = Bicycle().forecast(
        mean, control.repeat(50, 1), still, 0.1, form="curved", start_covariance=root @ root.T
    )
    sampled = torch.cov(state[:, :2].T)
    assert (forecast.covariance[-1] - sampled).norm() < 0.03 * sampled.norm()
    assert (forecast.mean[-1] - state[:, :2].mean(0)).norm() < 0.1
