"""The scan of Mamba-2 (Dao and Gu 2024, arXiv 2405.21060, section 6): state-space duality, in matrix products.

h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T,   y_t = h_t C_t, with one A per head, so that a chunk of samples is masked
attention of each sample to those before it, plus what the state before the chunk still says.
"""

from __future__ import annotations

import importlib
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.nn.backend import resolve

CPU_CHUNK = 32
"""Samples per chunk on a processor: what is squared in it must stay in the caches; longer pays on a GPU alone."""


def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    initial_state: Tensor | None = None,
    chunk_size: int = 256,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The output (batch, L, heads, P) and the last state (batch, heads, P, N).

    ``x`` (batch, L, heads, P); ``dt`` (batch, L, heads), positive; ``A`` (heads,), negative; ``B`` and ``C``
    (batch, L, groups, N), each shared by heads / groups heads; ``initial_state`` zero where None. Chunks are no longer
    than ``chunk_size``. Raises InputError where shapes do not fit or a forced backend cannot run.
    """
    _check(x, dt, A, B, C, initial_state)
    if resolve(backend, x.device, "ssd") == "mamba_ssm":
        original = importlib.import_module("mamba_ssm.ops.triton.ssd_combined").mamba_chunk_scan_combined
        result = original(x, dt, A, B, C, chunk_size, initial_states=initial_state, return_final_states=True)
        return cast(tuple[Tensor, Tensor], result)
    size = min(chunk_size, CPU_CHUNK) if x.device.type == "cpu" else chunk_size
    return _in_chunks(x, dt, A, B, C, initial_state, min(size, x.shape[1]))


def _in_chunks(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None, size: int
) -> tuple[Tensor, Tensor]:
    batch, length, heads, width = x.shape
    groups, n = B.shape[2:]
    # A sample with a step of 0 changes nothing: that fills the last chunk.
    fill = -length % size
    x, dt, B, C = (F.pad(t, (0, 0) * (t.dim() - 2) + (0, fill)) for t in (x, dt, B, C))
    chunks = x.shape[1] // size
    # Logarithms of decays are summed in float64: their differences are small where the sums are large.
    log_decay = (dt * A).double().view(batch, chunks, size, heads).cumsum(2).transpose(2, 3)
    driven = (x * dt[..., None]).view(batch, chunks, size, heads, width).transpose(2, 3)
    B, C = (t.view(batch, chunks, size, groups, n).transpose(2, 3) for t in (B, C))

    # Within a chunk: (batch, chunks, heads, T, T).
    causal = torch.ones(size, size, dtype=torch.bool, device=x.device).tril()
    between = log_decay[..., :, None] - log_decay[..., None, :]
    decay = torch.exp(between.masked_fill(~causal, -torch.inf).to(x.dtype))
    scores = (C @ B.mT)[:, :, :, None] * decay.view(batch, chunks, groups, -1, size, size)
    y = scores.flatten(2, 3) @ driven

    # From chunk to chunk: what each adds to the state, and how much of the state is left after it.
    left = torch.exp((log_decay[..., -1:] - log_decay).to(x.dtype))
    rows = (driven * left[..., None]).reshape(batch, chunks, groups, -1, size, width).transpose(4, 5).flatten(3, 4)
    added = (rows @ B).view(batch, chunks, heads, width, n)
    over = torch.exp(log_decay[..., -1].to(x.dtype))[..., None, None]
    now = x.new_zeros(batch, heads, width, n) if state is None else state
    states = []
    for kept, new in zip(over.unbind(1), added.unbind(1), strict=True):
        states.append(now)
        now = torch.addcmul(new, kept, now)
    before = torch.stack(states, 1).view(batch, chunks, groups, -1, n)
    seen = (before @ C.mT).view(batch, chunks, heads, width, size).mT
    y = torch.addcmul(y, seen, torch.exp(log_decay.to(x.dtype))[..., None])
    return y.transpose(2, 3).reshape(batch, chunks * size, heads, width)[:, :length], now


def _check(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None) -> None:
    if x.dim() != 4 or B.dim() != 4 or 0 in x.shape or x.shape[2] % B.shape[2]:
        what = f"x has shape {tuple(x.shape)} and B {tuple(B.shape)}"
        raise InputError(
            what, where="ssd", right="x (batch, L, heads, P), B (batch, L, groups, N), groups divide heads"
        )
    batch, length, heads, width = x.shape
    groups, n = B.shape[2:]
    shapes = {
        "dt": (dt, (batch, length, heads)),
        "A": (A, (heads,)),
        "B": (B, (batch, length, groups, n)),
        "C": (C, (batch, length, groups, n)),
        "initial_state": (state, (batch, heads, width, n)),
    }
    for name, (tensor, shape) in shapes.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            what = f"{name} has shape {tuple(tensor.shape)}"
            raise InputError(what, where="ssd", right=f"{shape}, as x is {tuple(x.shape)}")
