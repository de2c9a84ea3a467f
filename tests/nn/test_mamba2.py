"""Mamba-2 and its scan against the recurrence in float64, and against what a state_dict of the original looks like."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.nn.mamba2 import Mamba2
from knuckle.nn.ssd import ssd
from tests.nn import sequential

LENGTHS = [1, 2, 3, 7, 31, 33, 64, 100, 257, 1000, pytest.param(4096, marks=pytest.mark.slow)]


def _inputs(length: int, heads: int, width: int, groups: int, states: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    dt = torch.nn.functional.softplus(normal(2, length, heads) - 2)
    of_states = [normal(2, length, groups, states) for _ in range(2)]
    return [normal(2, length, heads, width), dt, -torch.exp(normal(heads)), *of_states, normal(2, heads, width, states)]


def _with_gradients(function, tensors: Sequence[Tensor], **more: object) -> list[Tensor]:
    inputs = [x.clone().requires_grad_() for x in tensors]
    y, state = function(*inputs, **more)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return [y, state, *torch.autograd.grad((y * weight).sum() + state.square().sum(), inputs)]


def _agree(got: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float) -> None:
    for mine, reference in zip(got, wanted, strict=True):
        assert (mine.double() - reference).abs().max() < tolerance * reference.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("sizes", [(2, 5, 1, 3), (6, 4, 3, 7), (1, 1, 1, 1)])
@pytest.mark.parametrize("length", LENGTHS)
def test_values_and_gradients_are_those_of_the_recurrence_at_every_length(length: int, sizes: tuple[int, ...]):
    tensors = _inputs(length, *sizes)
    wanted = _with_gradients(sequential.ssd, tensors)
    _agree(_with_gradients(ssd, tensors), wanted, 1e-11)
    _agree(_with_gradients(ssd, tensors, chunk_size=5), wanted, 1e-11)
    _agree(_with_gradients(ssd, [x.float() for x in tensors]), wanted, 1e-5)


def test_a_state_that_was_all_but_forgotten_in_between_is_still_right_in_float32():
    """Sums of logarithms of decays reach thousands here; their differences do not."""
    x, dt, A, B, C, state = _inputs(64, 2, 3, 1, 4)
    dt[:, :8] = 500.0
    tensors = [x, dt, A, B, C, state]
    wanted = sequential.ssd(*tensors)
    _agree(ssd(*(t.float() for t in tensors)), wanted, 1e-5)


def reference(layer: Mamba2, u: Tensor) -> Tensor:
    """The block of figure 6 of the Mamba-2 paper for one layer's weights, in float64."""
    w = {name: tensor.double() for name, tensor in layer.state_dict().items()}
    rest, states = layer.d_inner - layer.d_ssm, layer.ngroups * layer.d_state
    sizes = [rest, rest, layer.d_ssm, layer.d_ssm + 2 * states, layer.nheads]
    gate, value, z, inner, dt = (u.double() @ w["in_proj.weight"].T).split(sizes, dim=2)
    taps = layer.d_conv
    filtered = torch.zeros_like(inner) + w["conv1d.bias"]
    for lag in range(taps):
        filtered[:, lag:] += inner[:, : inner.shape[1] - lag] * w["conv1d.weight"][:, 0, taps - 1 - lag]
    x, B, C = (filtered * torch.sigmoid(filtered)).split([layer.d_ssm, states, states], dim=2)
    heads = x.unflatten(2, (layer.nheads, -1))
    B, C = (t.unflatten(2, (layer.ngroups, -1)) for t in (B, C))
    y, _ = sequential.ssd(heads, torch.log1p(torch.exp(dt + w["dt_bias"])), -torch.exp(w["A_log"]), B, C)
    y = (y + heads * w["D"].reshape(layer.nheads, -1)).flatten(2)
    silu = z * torch.sigmoid(z)
    if layer.rmsnorm:
        y = y if layer.norm_before_gate else y * silu
        parts = y.unflatten(2, (layer.ngroups, -1))
        y = (parts / torch.sqrt(parts.square().mean(3, keepdim=True) + 1e-5)).flatten(2) * w["norm.weight"]
        y = y * silu if layer.norm_before_gate else y
    else:
        y = y * silu
    return torch.cat([gate * torch.sigmoid(gate) * value, y], 2) @ w["out_proj.weight"].T


VARIANTS = [
    {},
    {"ngroups": 2},
    {"d_ssm": 12},
    {"D_has_hdim": True, "rmsnorm": False},
    {"norm_before_gate": True, "ngroups": 4},
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_computes_what_the_paper_says_whole_and_sample_by_sample(variant: dict[str, object]):
    torch.manual_seed(0)
    layer, u = Mamba2(12, 5, headdim=6, **variant), torch.randn(2, 45, 12)
    torch.nn.init.normal_(layer.D)
    wanted = reference(layer, u)
    assert (layer(u) - wanted).abs().max() < 1e-5
    state, outputs = layer.initial_state(2), []
    for sample in u.unbind(1):
        y, state = layer.step(sample, state)
        outputs.append(y)
    assert (torch.stack(outputs, 1) - wanted).abs().max() < 1e-5


def test_step_sizes_are_held_in_their_limits():
    torch.manual_seed(0)
    layer, u = Mamba2(12, 5, headdim=6, dt_limit=(0.01, 0.02)), torch.randn(2, 5, 12)
    sizes = layer._parts(100 * u)[3].detach()
    assert sizes.min() == pytest.approx(0.01) and sizes.max() == pytest.approx(0.02)


def test_its_state_dict_is_that_of_the_original():
    shapes = {name: tuple(tensor.shape) for name, tensor in Mamba2(128, layer_idx=1).state_dict().items()}
    assert shapes == {
        "dt_bias": (4,),
        "A_log": (4,),
        "D": (4,),
        "in_proj.weight": (2 * 256 + 2 * 128 + 4, 128),
        "conv1d.weight": (512, 1, 4),
        "conv1d.bias": (512,),
        "norm.weight": (256,),
        "out_proj.weight": (128, 256),
    }
    state = Mamba2(128).initial_state(3)
    assert (state.conv.shape, state.ssm.shape) == ((3, 512, 4), (3, 4, 64, 128))


def test_it_begins_as_the_original_does():
    torch.manual_seed(0)
    layer = Mamba2(512, headdim=4, A_init_range=(2, 8), dt_min=0.01, dt_max=0.2)
    rates, sizes = torch.exp(layer.A_log.detach()), torch.nn.functional.softplus(layer.dt_bias.detach())
    assert 2 <= rates.min() < 2.5 and 7.5 < rates.max() <= 8
    assert 0.01 * 0.999 <= sizes.min() < 0.015 and 0.15 < sizes.max() <= 0.2 * 1.001
    assert torch.equal(layer.D, torch.ones(256)) and torch.equal(layer.norm.weight, torch.ones(1024))
    assert Mamba2(64, conv_init=0.01).conv1d.weight.detach().abs().max() <= 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"headdim": 7}, "headdim=7.*divides d_ssm"),
        ({"headdim": 6, "ngroups": 3}, "ngroups=3.*divides the heads"),
        ({"headdim": 6, "d_ssm": 48}, r"d_ssm=48.*up to 24"),
        ({"headdim": 6, "process_group": object()}, "process_group is set; None"),
    ],
)
def test_arguments_that_make_no_layer_are_refused(arguments: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        Mamba2(12, **arguments)


def test_backends_that_do_not_exist_for_it_are_refused():
    layer = Mamba2(12, 5, headdim=6, backend="cpp")
    with pytest.raises(InputError, match=r"backend 'cpp' cannot run: there is no C\+\+ kernel for the scan of Mamba-2"):
        layer(torch.zeros(1, 3, 12))


@pytest.mark.parametrize("wrong", ["dt", "A", "B", "C", "initial_state"])
def test_a_tensor_of_another_shape_is_refused_by_name(wrong: str):
    names = ["x", "dt", "A", "B", "C", "initial_state"]
    given = dict(zip(names, _inputs(8, 2, 5, 1, 3), strict=True))
    given[wrong] = torch.cat([given[wrong]] * 2)
    with pytest.raises(InputError, match=f"ssd: {wrong} has shape"):
        ssd(**given)
