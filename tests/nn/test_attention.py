"""Attention over a bounded past against a plain sum over the samples it may see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.nn import state as states
from knuckle.nn.attention import CausalAttention


def reference(layer: CausalAttention, x: Tensor) -> Tensor:
    """One query at a time, in float64, complex rotation, for one head after another."""
    weights = {name: tensor.double() for name, tensor in layer.state_dict().items()}
    q, k, v = (x.double() @ weights["qkv.weight"].T + weights["qkv.bias"]).chunk(3, dim=2)
    part = layer.width // layer.heads
    rate = torch.tensor([10_000.0 ** (-2 * i / part) for i in range(part // 2)], dtype=torch.float64)
    out = torch.zeros_like(q)
    for head in range(layer.heads):
        of = slice(head * part, (head + 1) * part)
        complex_q, complex_k = (torch.complex(*t[..., of].chunk(2, dim=2)) for t in (q, k))
        for t in range(x.shape[1]):
            since = max(0, t - layer.context + 1)
            ago = t - torch.arange(since, t + 1)
            turned = complex_q[:, t : t + 1] * torch.exp(1j * ago[:, None] * rate)
            score = (turned * complex_k[:, since : t + 1].conj()).real.sum(2) / math.sqrt(part)
            out[:, t, of] = (score.softmax(1)[:, :, None] * v[:, since : t + 1, of]).sum(1)
    return out @ weights["out.weight"].T + weights["out.bias"]


@pytest.mark.parametrize(("heads", "context", "length"), [(1, 7, 30), (2, 64, 20), (3, 1, 5), (2, 9, 9), (2, 9, 10)])
@torch.no_grad()
def test_it_is_the_weighted_sum_over_the_window(heads: int, context: int, length: int):
    torch.manual_seed(0)
    layer = CausalAttention(12, heads, context)
    x = torch.randn(2, length, 12)
    assert (layer(x).double() - reference(layer, x)).abs().max() < 1e-5


@torch.no_grad()
def test_streams_of_one_batch_may_have_begun_at_different_times():
    torch.manual_seed(0)
    layer = CausalAttention(12, 2, 16)
    x = torch.randn(2, 30, 12)
    _, young = layer.forward_with_state(x[:1, :3])
    _, old = layer.forward_with_state(x[1:, :20])
    together = states.join([young, old])
    assert together.filled.tolist() == [3, 16]
    y, _ = layer.forward_with_state(x[:, 20:], together)
    assert torch.allclose(y[:1], layer.forward_with_state(x[:1, 20:], young)[0], atol=1e-6)
    assert torch.allclose(y[1:], layer(x[1:])[:, 20:], atol=1e-6)


def test_a_width_that_does_not_split_is_refused():
    with pytest.raises(InputError, match="width=12, heads=5"):
        CausalAttention(12, 5, 8)
    with pytest.raises(InputError, match="heads=4.*even parts"):
        CausalAttention(12, 4, 8)
