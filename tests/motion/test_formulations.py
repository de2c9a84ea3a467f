from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core.errors import InputError
from knuckle.motion.acceleration import Acceleration
from knuckle.motion.bicycle import Bicycle
from knuckle.motion.forecast import Form
from knuckle.motion.formulations import FORMULATIONS, Formulation, make_formulation

FORMS: tuple[Form, ...] = ("marginal", "full", "curved")
DT = 0.1


def drawn(formulation: Formulation, steps: int, seed: int, lead: tuple[int, ...] = ()) -> tuple[torch.Tensor, ...]:
    """A start, mean controls, variances and a covariance of the start, all in float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*lead, *shape, generator=generator, dtype=torch.float64)

    start = normal(len(formulation.states))
    if formulation.name == "bicycle":
        start[..., 3] = 8 + start[..., 3]
    control = normal(steps, 2) * torch.tensor([0.8, 0.1], dtype=torch.float64)
    if formulation.name == "heading":
        control = control + torch.tensor([7.0, 0.4], dtype=torch.float64)
    root = 0.2 * normal(len(formulation.states), len(formulation.states))
    return start, control, (0.3 * normal(steps, 2)) ** 2, root @ root.mT


@pytest.mark.parametrize("name", FORMULATIONS)
def test_the_mean_is_the_motion_itself_step_by_step(name: str) -> None:
    formulation = make_formulation(name)
    start, control, variance, _ = drawn(formulation, 30, seed=1)
    forecast = formulation.forecast(start, control, variance, DT)
    state = start
    for k in range(30):
        state = formulation.step(state, control[k], DT)
        torch.testing.assert_close(forecast.states[k], state, rtol=0, atol=1e-12)
        torch.testing.assert_close(forecast.mean[k], state[:2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FORMULATIONS)
def test_the_full_form_is_the_matrix_recursion_with_jacobians_of_the_motion(name: str) -> None:
    formulation = make_formulation(name)
    start, control, variance, P = drawn(formulation, 20, seed=2)
    forecast = formulation.forecast(start, control, variance, DT, start_covariance=P)
    state = start
    for k in range(20):
        F, G = torch.autograd.functional.jacobian(lambda s, u: formulation.step(s, u, DT), (state, control[k]))
        Q = variance[k].clone()
        products = torch.zeros_like(P)
        if name == "bicycle":  # the steering's noise times the speed's own variance
            products[2, 2] = (G[2, 1] / state[3]) ** 2 * P[3, 3] * Q[1]
        if name == "heading":  # the heading's noise times the speed's
            sideways = G[:, 1] / control[k, 0]
            products = torch.outer(sideways, sideways) * Q[0] * Q[1]
        P = F @ P @ F.T + G @ torch.diag(Q) @ G.T + products
        state = formulation.step(state, control[k], DT)
        torch.testing.assert_close(forecast.covariance[k], P[:2, :2], rtol=1e-10, atol=1e-12)


def test_the_marginal_form_of_the_bicycle_is_the_papers_recursion() -> None:
    bicycle = Bicycle(2.5)
    start, control, variance, _ = drawn(bicycle, 15, seed=3)
    forecast = bicycle.forecast(start, control, variance, DT, form="marginal")
    (_, _, th, s), r = (float(v) for v in start), DT / 2.5
    Vx = Vy = Vth = Vs = 0.0
    for k in range(15):
        (a, d), (Va, Vd) = control[k].numpy(), variance[k].numpy()
        c2, n2 = float(torch.tensor(th).cos() ** 2), float(torch.tensor(th).sin() ** 2)
        tan, sec4 = float(torch.tensor(d).tan()), float(torch.tensor(d).cos() ** -4)
        Vx += DT**2 * (Vs * c2 + s**2 * n2 * Vth + Vs * Vth * n2)
        Vy += DT**2 * (Vs * n2 + s**2 * c2 * Vth + Vs * Vth * c2)
        Vth += r**2 * (Vs * tan**2 + s**2 * sec4 * Vd + Vs * sec4 * Vd)
        Vs += DT**2 * Va
        th, s = th + s * tan * r, s + a * DT
        expected = torch.diag(torch.tensor([Vx, Vy], dtype=torch.float64))
        torch.testing.assert_close(forecast.covariance[k], expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", FORMULATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_without_noise_there_is_no_spread_and_no_shift(name: str, form: Form) -> None:
    formulation = make_formulation(name)
    start, control, variance, _ = drawn(formulation, 12, seed=4)
    forecast = formulation.forecast(start, control, torch.zeros_like(variance), DT, form=form)
    assert not forecast.covariance.any()
    assert torch.equal(forecast.mean, forecast.states[:, :2])


@pytest.mark.parametrize("form", ["marginal", "full"])
def test_a_bicycle_that_drives_straight_spreads_along_its_track_as_accelerations_do(form: Form) -> None:
    heading = torch.tensor(0.7, dtype=torch.float64)
    along = torch.stack([heading.cos(), heading.sin()])
    control = torch.tensor([0.4, 0.0], dtype=torch.float64).repeat(40, 1)
    variance = torch.tensor([0.36, 0.0], dtype=torch.float64).repeat(40, 1)
    start = torch.stack([*torch.zeros(2, dtype=torch.float64), heading, torch.tensor(9.0, dtype=torch.float64)])
    bicycle = Bicycle().forecast(start, control, variance, DT, form="full")
    line = Acceleration().forecast(
        torch.tensor([0.0, 0, 9, 0], dtype=torch.float64), control, variance, DT, form="full"
    )
    torch.testing.assert_close(bicycle.mean @ along, line.mean[:, 0])
    torch.testing.assert_close(along @ bicycle.covariance @ along, line.covariance[:, 0, 0])
    if form == "marginal":  # on the map's own axis, for the paper's form knows no other
        start = torch.tensor([0.0, 0, 0, 9], dtype=torch.float64)
        paper = Bicycle().forecast(start, control, variance, DT, form=form)
        along_line = Acceleration().forecast(
            torch.tensor([0.0, 0, 9, 0], dtype=torch.float64), control, variance, DT, form=form
        )
        torch.testing.assert_close(paper.covariance[:, 0, 0], along_line.covariance[:, 0, 0])


@pytest.mark.parametrize("name", FORMULATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_a_batch_of_tracks_and_modes_is_each_of_them_alone(name: str, form: Form) -> None:
    formulation = make_formulation(name)
    start, control, variance, P = drawn(formulation, 7, seed=5, lead=(3, 2))
    start, P = start[:, :1], P[:, :1]  # one start for all modes of a track
    batch = formulation.forecast(start, control, variance, DT, form=form, start_covariance=P)
    assert batch.mean.shape == (3, 2, 7, 2)
    assert batch.covariance.shape == (3, 2, 7, 2, 2)
    assert batch.states.shape == (3, 2, 7, len(formulation.states))
    for i, j in itertools.product(range(3), range(2)):
        one = formulation.forecast(start[i, 0], control[i, j], variance[i, j], DT, form=form, start_covariance=P[i, 0])
        torch.testing.assert_close(batch.mean[i, j], one.mean)
        torch.testing.assert_close(batch.covariance[i, j], one.covariance)


@pytest.mark.parametrize("name", FORMULATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_finite_differences(name: str, form: Form) -> None:
    formulation = make_formulation(name)
    start, control, variance, P = drawn(formulation, 3, seed=6)

    def positions(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        forecast = formulation.forecast(*inputs[:3], DT, form=form, start_covariance=inputs[3])
        return forecast.mean, forecast.covariance

    inputs = tuple(t.detach().requires_grad_() for t in (start, control, variance, P))
    assert torch.autograd.gradcheck(positions, inputs)


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(FORMULATIONS)),
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 2**31 - 1),
    scale=st.sampled_from([1e-4, 1.0, 10.0]),
    steps=st.integers(1, 80),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_no_covariance_is_ever_negative(
    name: str, form: Form, seed: int, scale: float, steps: int, dtype: torch.dtype
) -> None:
    formulation = make_formulation(name)
    start, control, variance, P = (t.to(dtype) for t in drawn(formulation, steps, seed))
    forecast = formulation.forecast(
        start, control, scale * variance, DT, form=form, start_covariance=scale * P if seed % 2 else None
    )
    assert forecast.covariance.dtype == dtype
    assert torch.equal(forecast.covariance, forecast.covariance.mT)
    eigenvalues = torch.linalg.eigvalsh(forecast.covariance.double())
    rounding = 100 * torch.finfo(dtype).eps * forecast.covariance.double().abs().amax()
    assert (eigenvalues >= -rounding).all()


def test_what_does_not_fit_is_named_at_the_door() -> None:
    bicycle = Bicycle()
    start, control, variance, P = drawn(bicycle, 5, seed=7)
    with pytest.raises(InputError, match=r"a start of shape \(3,\)"):
        bicycle.forecast(start[:3], control, variance, DT)
    with pytest.raises(InputError, match="variances of shape"):
        bicycle.forecast(start, control, variance[:4], DT)
    with pytest.raises(InputError, match=r"a covariance of the start of shape \(3, 3\)"):
        bicycle.forecast(start, control, variance, DT, start_covariance=P[:3, :3])
    with pytest.raises(InputError, match="a step of 0"):
        bicycle.forecast(start, control, variance, 0.0)
    with pytest.raises(InputError, match=r"unknown form 'ful'; did you mean 'full'"):
        bicycle.forecast(start, control, variance, DT, form="ful")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a length of 0"):
        Bicycle(0.0)
    with pytest.raises(InputError, match="unknown formulation 'bicycles'; did you mean 'bicycle'"):
        make_formulation("bicycles")
