"""Mamba against the equations of its paper in float64, and against what a state_dict of the original looks like."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.nn.mamba import Mamba
from tests.nn import sequential


def reference(weights: dict[str, Tensor], u: Tensor, states: int) -> Tensor:
    """Figure 3 of the Mamba paper for the weights of one layer, in float64, one sample after another."""
    w = {name: tensor.double() for name, tensor in weights.items()}
    x, z = (u.double() @ w["in_proj.weight"].T).chunk(2, dim=2)
    taps = w["conv1d.weight"].shape[2]
    filtered = torch.zeros_like(x)
    for lag in range(taps):
        filtered[:, lag:] += x[:, : x.shape[1] - lag] * w["conv1d.weight"][:, 0, taps - 1 - lag]
    filtered = filtered + w.get("conv1d.bias", 0.0)
    x = filtered / (1 + torch.exp(-filtered))
    rank = w["dt_proj.weight"].shape[1]
    dt, b, c = (x @ w["x_proj.weight"].T).split([rank, states, states], dim=2)
    scanned = [x, dt @ w["dt_proj.weight"].T, b, c, z]
    x, dt, b, c, z = (part.transpose(1, 2) for part in scanned)
    A = -torch.exp(w["A_log"])
    y, _ = sequential.selective_scan(x, dt, A, b, c, w["D"], z, w["dt_proj.bias"], True)
    return y.transpose(1, 2) @ w["out_proj.weight"].T


@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize(("width", "states", "taps", "length"), [(16, 16, 4, 40), (7, 3, 4, 3), (5, 1, 2, 33)])
def test_it_computes_what_the_paper_says(width: int, states: int, taps: int, length: int, backend: str):
    torch.manual_seed(0)
    layer = Mamba(width, states, taps, backend=backend)
    u = torch.randn(2, length, width)
    assert (layer(u).double() - reference(layer.state_dict(), u, states)).abs().max() < 1e-5


def test_gradients_of_all_parameters_are_those_of_the_paper():
    torch.manual_seed(0)
    layer = Mamba(6, 3, backend="torch")
    u = torch.randn(2, 50, 6)
    weight = torch.randn(2, 50, 6)
    named = dict(layer.named_parameters())
    got = torch.autograd.grad((layer(u) * weight).sum(), list(named.values()))
    doubles = {name: p.detach().double().requires_grad_() for name, p in named.items()}
    wanted = torch.autograd.grad((reference(doubles, u, 3) * weight).sum(), list(doubles.values()))
    for name, mine, exact in zip(named, got, wanted, strict=True):
        assert (mine.double() - exact).abs().max() < 1e-5 * exact.abs().max().clamp(min=1.0), name


def test_its_state_dict_is_that_of_the_original():
    shapes = {
        name: tuple(tensor.shape) for name, tensor in Mamba(128, layer_idx=3, use_fast_path=False).state_dict().items()
    }
    assert shapes == {
        "A_log": (256, 16),
        "D": (256,),
        "in_proj.weight": (512, 128),
        "conv1d.weight": (256, 1, 4),
        "conv1d.bias": (256,),
        "x_proj.weight": (8 + 2 * 16, 256),
        "dt_proj.weight": (256, 8),
        "dt_proj.bias": (256,),
        "out_proj.weight": (128, 256),
    }
    extra = set(Mamba(8, bias=True, conv_bias=False).state_dict()) ^ set(shapes)
    assert extra == {"in_proj.bias", "out_proj.bias", "conv1d.bias"}


def test_it_begins_as_the_original_does():
    torch.manual_seed(0)
    layer = Mamba(64, 8, dt_min=0.01, dt_max=0.2)
    assert torch.allclose(layer.A_log, torch.log(torch.arange(1.0, 9.0)).expand(128, 8))
    assert torch.equal(layer.D, torch.ones(128))
    sizes = torch.nn.functional.softplus(layer.dt_proj.bias.detach())
    assert 0.01 * (1 - 1e-4) <= sizes.min() < 0.02 and 0.1 < sizes.max() <= 0.2 * (1 + 1e-4)
    assert 0.4 < layer.dt_proj.weight.detach().abs().max() <= layer.dt_rank**-0.5
    assert torch.equal(Mamba(64, dt_init="constant", dt_scale=2.0).dt_proj.weight, torch.full((128, 4), 1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_state": 0}, "d_state=0.*sizes of at least 1"),
        ({"dt_init": "zero"}, "dt_init is 'zero'; 'random' or 'constant'"),
        ({"backend": "cuda"}, "unknown backend 'cuda'"),
    ],
)
def test_arguments_that_make_no_layer_are_refused(arguments: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        Mamba(8, **arguments)
