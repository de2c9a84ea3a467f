"""The references of these tests: float64, one step after another, written from the papers and not from the product."""

from __future__ import annotations

import torch
from torch import Tensor


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Equation 2 of the Mamba paper with its discretisation, one step at a time, differentiable by autograd."""
    if delta_bias is not None:
        delta = delta + delta_bias[None, :, None]
    if delta_softplus:
        delta = torch.log1p(torch.exp(delta))
    state = torch.zeros(u.shape[0], *A.shape, dtype=u.dtype) if initial_state is None else initial_state
    outputs = []
    # unbind and not x[..., t]: the gradient of an index is as long as the sequence, and the loop would be quadratic.
    for now in zip(*(x.unbind(2) for x in (u, delta, B, C)), strict=True):
        u_t, dt, b, c = now
        state = torch.exp(dt[:, :, None] * A) * state + (dt * u_t)[:, :, None] * b[:, None, :]
        outputs.append((state * c[:, None, :]).sum(2))
    y = torch.stack(outputs, 2)
    if D is not None:
        y = y + u * D[None, :, None]
    if z is not None:
        y = y * z / (1 + torch.exp(-z))
    return y, state


def ssd(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The recurrence of Mamba-2, one sample at a time: x (batch, L, heads, P), B and C (batch, L, groups, N)."""
    heads = x.shape[2]
    state = torch.zeros(len(x), *x.shape[2:], B.shape[3], dtype=x.dtype) if initial_state is None else initial_state
    outputs = []
    for x_t, dt_t, b, c in zip(*(t.unbind(1) for t in (x, dt, B, C)), strict=True):
        b, c = (t.repeat_interleave(heads // b.shape[1], 1) for t in (b, c))
        state = torch.exp(dt_t * A)[..., None, None] * state + torch.einsum("bh,bhp,bhn->bhpn", dt_t, x_t, b)
        outputs.append(torch.einsum("bhpn,bhn->bhp", state, c))
    return torch.stack(outputs, 1), state


def scan_inputs(batch: int, width: int, states: int, length: int, seed: int = 0) -> list[Tensor]:
    """u, delta, A, B, C, D, z, delta_bias and an initial state in float64, of the sizes that trained layers have."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rates = torch.arange(1, states + 1, dtype=torch.float64).expand(width, states)
    long, inner = (batch, width, length), (batch, states, length)
    A = -rates * torch.exp(0.1 * normal(width, states))
    delta_bias = -3.0 + normal(width)
    return [
        normal(*long),
        normal(*long),
        A,
        normal(*inner),
        normal(*inner),
        normal(width),
        normal(*long),
        delta_bias,
        normal(batch, width, states),
    ]
