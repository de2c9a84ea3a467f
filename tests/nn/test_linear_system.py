"""The systems of S4 and S4D in blocks against the same recurrence in float64, one sample after another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from knuckle.nn import linear_system
from knuckle.nn.linear_system import LinearSystem

LENGTHS = [1, 2, 3, 7, 31, 33, 64, 100, 257, 1000, pytest.param(4096, marks=pytest.mark.slow)]


def _system(low_rank: bool, channels: int = 3, states: int = 6) -> LinearSystem:
    """Stable, slow and fast, in float64."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    half = (channels, states // 2)
    decay, angle = 0.2 * torch.exp(normal(*half)), normal(*half)
    rotation = torch.exp(torch.complex(-decay, angle)) - 1
    b, c = normal(channels, states), normal(channels, states)
    extra = (0.1 * normal(channels, states), 0.1 * normal(channels, states)) if low_rank else (None, None)
    return LinearSystem(rotation.real, rotation.imag, b, c, *extra)


def _dense(system: LinearSystem) -> Tensor:
    """1 + F of each channel as a matrix of real numbers, column by column."""
    n = system.f_re.shape[1]
    columns = []
    for i in range(2 * n):
        x = torch.zeros(2 * n, dtype=torch.float64)
        x[i] = 1
        z = torch.complex(x[:n], x[n:])
        turned = (1 + torch.complex(system.f_re, system.f_im)) * z
        column = torch.cat([turned.real, turned.imag], 1)
        if system.p is not None:
            column = column - system.p * (system.q @ x)[:, None]
        columns.append(column)
    return torch.stack(columns, 2)


def _sequential(system: LinearSystem, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    dense = _dense(system)
    outputs = []
    for sample in u.unbind(2):
        x = torch.einsum("hnm,bhm->bhn", dense, x) + system.b * sample[:, :, None]
        outputs.append((system.c * x).sum(2))
    return torch.stack(outputs, 2), x


def _stepped(system: LinearSystem, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    outputs = []
    for sample in u.unbind(2):
        y, x = linear_system.step(system, sample, x)
        outputs.append(y)
    return torch.stack(outputs, 2), x


def _inputs(length: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    u = torch.randn(2, 3, length, generator=generator, dtype=torch.float64)
    return u, torch.randn(2, 3, 6, generator=generator, dtype=torch.float64)


def _with_gradients(function, system: LinearSystem, *inputs: Tensor) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in (*[x for x in system if x is not None], *inputs)]
    parts = leaves[: len(leaves) - 2]
    y, x = function(LinearSystem(*parts), *leaves[-2:])
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return [y, x, *torch.autograd.grad((y * weight).sum() + x.square().sum(), leaves)]


def _agree(got: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float) -> None:
    for mine, reference in zip(got, wanted, strict=True):
        assert (mine - reference).abs().max() < tolerance * reference.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("low_rank", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_values_and_gradients_are_those_of_the_recurrence_at_every_length(length: int, low_rank: bool):
    system, inputs = _system(low_rank), _inputs(length)
    wanted = _with_gradients(_sequential, system, *inputs)
    _agree(_with_gradients(linear_system.run, system, *inputs), wanted, 1e-10)
    _agree(_with_gradients(_stepped, system, *inputs), wanted, 1e-10)


@pytest.mark.parametrize("low_rank", [False, True])
@pytest.mark.parametrize("length", [1, 2, 10, 63, 64])
def test_the_outputs_of_a_short_sequence_are_the_same_without_the_state_after_it(length: int, low_rank: bool):
    u, x = _inputs(length)

    def whole(system: LinearSystem, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return linear_system.run(system, u, None)[0], x

    def short(system: LinearSystem, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return linear_system.first_outputs(system, u), x

    system = _system(low_rank)
    _agree(_with_gradients(short, system, u, x), _with_gradients(whole, system, u, x), 1e-10)


@pytest.mark.parametrize("low_rank", [False, True])
def test_a_float32_sequence_is_right_to_a_few_roundings_where_the_memory_is_long(low_rank: bool):
    system = _system(low_rank)
    slow = system._replace(f_re=1e-3 * system.f_re, f_im=1e-3 * system.f_im, b=1e-2 * system.b)
    slow = slow._replace(p=1e-3 * system.p) if system.p is not None else slow
    u, x = _inputs(3000)
    wanted = _sequential(slow, u, x)
    _agree([y.double() for y in linear_system.run(slow, u.float(), x.float())], wanted, 5e-6)
    _agree([y.double() for y in _stepped(slow.to(torch.float32), u.float(), x.float())], wanted, 5e-6)


@pytest.mark.parametrize("low_rank", [False, True])
@pytest.mark.parametrize("exponent", [1, 2, 5, 64, 100])
def test_a_power_is_that_of_the_matrix(exponent: int, low_rank: bool):
    system = _system(low_rank)
    assert torch.allclose(linear_system.power(system, exponent), torch.linalg.matrix_power(_dense(system), exponent))
