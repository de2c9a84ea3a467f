"""The recurrence of the selective scan in torch alone: linear in the length, in memory too, with its own backward.

A loop under autograd keeps every step's intermediates and spends its time in bookkeeping. Here a chunk of steps is one
block that fits the cache, only the state at the start of each chunk is kept, and backward runs each chunk again.
Inside, time leads and the channels are last, (T, batch, N, D): then every broadcast is over long contiguous rows.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 18
"""States per chunk: a megabyte of float32, so that a chunk and its decays stay in the caches."""


def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor) -> tuple[Tensor, Tensor]:
    """y_t = C_t h_t with h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t, and the last h.

    ``u`` and ``delta`` (batch, D, L); ``A`` (D, N); ``B`` and ``C`` (batch, N, L); ``initial_state`` (batch, D, N).
    """
    tensors = (u, delta, A, B, C, initial_state)
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        y, last = _Scan.apply(*tensors)  # type: ignore[no-untyped-call]
        return y, last
    y, last, _ = _forward(*tensors)
    return y, last


def _chunk(state: Tensor, length: int) -> int:
    """Steps per chunk: what fits the caches, but enough of them that what is kept does not outgrow a chunk."""
    return max(1, CHUNK_ELEMENTS // state.numel(), math.isqrt(length // 4))


def _time_first(x: Tensor) -> Tensor:
    return x.permute(2, 0, 1).contiguous()


def _states(decay: Tensor, drive: Tensor, state: Tensor) -> Tensor:
    """The states of one chunk, written over ``drive`` (T, batch, N, D), from the state before it."""
    for a, x in zip(decay.unbind(0), drive.unbind(0), strict=True):
        state = x.addcmul_(a, state)
    return state


def _forward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state, and the states before each chunk (chunks, batch, N, D)."""
    rates = A.t().contiguous()
    state = initial_state.transpose(1, 2).contiguous()
    y, starts = torch.empty_like(u), []
    step = _chunk(state, u.shape[2])
    for start in range(0, u.shape[2], step):
        now = slice(start, start + step)
        dt, b, c = (_time_first(x[:, :, now]) for x in (delta, B, C))
        starts.append(state)
        decay = torch.exp(dt[:, :, None, :] * rates)
        states = (dt * _time_first(u[:, :, now]))[:, :, None, :] * b[:, :, :, None]
        state = _states(decay, states, state)
        y[:, :, now] = torch.matmul(c[:, :, None, :], states).squeeze(2).permute(1, 2, 0)
    return y, state.transpose(1, 2), torch.stack(starts)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        y, last, starts = _forward(*tensors)
        ctx.save_for_backward(*tensors[:5], starts)
        return y, last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return _backward(*ctx.saved_tensors, *gradients)


def _backward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, starts: Tensor, dy: Tensor, dlast: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of u, delta, A, B, C and the initial state, chunk by chunk from the last."""
    rates = A.t().contiguous()
    carry = dlast.transpose(1, 2).contiguous()
    drates = torch.zeros_like(rates)
    gradients = [torch.empty_like(x) for x in (u, delta, B, C)]
    step = _chunk(carry, u.shape[2])
    for index in range(len(starts) - 1, -1, -1):
        now = slice(index * step, (index + 1) * step)
        x, dt, b, c, out = (_time_first(t[:, :, now]) for t in (u, delta, B, C, dy))
        decay = torch.exp(dt[:, :, None, :] * rates)
        driven = dt * x
        states = torch.cat([starts[index : index + 1], driven[:, :, None, :] * b[:, :, :, None]])
        _states(decay, states[1:], states[0])
        dc = torch.matmul(states[1:], out[:, :, :, None]).squeeze(3)
        # The gradient of each state: what its output asks for, and what the next state passes back.
        g = c[:, :, :, None] * out[:, :, None, :]
        rows, decays = g.unbind(0), decay.unbind(0)
        rows[-1].add_(carry)
        for t in range(len(rows) - 2, -1, -1):
            rows[t].addcmul_(decays[t + 1], rows[t + 1])
        carry = decays[0] * rows[0]
        ddriven = torch.matmul(b[:, :, None, :], g).squeeze(2)
        db = torch.matmul(g, driven[:, :, :, None]).squeeze(3)
        g.mul_(decay).mul_(states[:-1])
        ddt = torch.addcmul((g * rates).sum(2), ddriven, x)
        drates += g.mul_(dt[:, :, None, :]).sum((0, 1))
        for whole, part in zip(gradients, (ddriven * dt, ddt, db, dc), strict=True):
            whole[:, :, now] = part.permute(1, 2, 0)
    return gradients[0], gradients[1], drates.t(), gradients[2], gradients[3], carry.transpose(1, 2)
