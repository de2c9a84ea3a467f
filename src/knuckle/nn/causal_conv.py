"""The short causal convolution before a state-space scan: one filter per channel, continued from the inputs before."""

from __future__ import annotations

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knuckle.nn.backend import resolve

MOST_TAPS = 64
"""Of a filter in C++."""


def causal_conv(x: Tensor, conv: nn.Conv1d, before: Tensor | None, backend: str = "torch") -> tuple[Tensor, Tensor]:
    """The filtered ``x`` (batch, channels, L), through silu, and the last ``d_conv`` inputs (batch, channels, d_conv).

    ``before`` are the ``d_conv`` inputs before ``x``, oldest first, zero where None: the state of the original's
    inference cache, of which a filter of length d_conv reads all but the oldest. ``backend`` is the layer's: where its
    scan runs in C++, so does the filter.
    """
    (taps,) = conv.kernel_size
    floats = x.dtype == conv.weight.dtype and x.dtype in (torch.float32, torch.float64)
    if floats and taps <= MOST_TAPS and backend in ("auto", "cpp") and resolve("auto", x.device) == "cpp":
        filtered: Tensor = importlib.import_module("knuckle.nn.kernels").causal_conv(
            x, conv.weight[:, 0], conv.bias, before
        )
        return filtered, _last(x, before, taps)
    if before is None:
        before = x.new_zeros(*x.shape[:2], taps)
    padded = torch.cat([before, x], 2)
    filtered = F.conv1d(padded[:, :, 1:], conv.weight, conv.bias, groups=conv.groups)
    return F.silu(filtered), padded[:, :, -taps:].contiguous()


def _last(x: Tensor, before: Tensor | None, taps: int) -> Tensor:
    """The last ``taps`` inputs, of which some may be from before ``x``."""
    if x.shape[2] >= taps:
        return x[:, :, -taps:].contiguous()
    before = x.new_zeros(*x.shape[:2], taps) if before is None else before
    return torch.cat([before, x], 2)[:, :, -taps:].contiguous()


def causal_conv_step(x: Tensor, conv: nn.Conv1d, before: Tensor) -> tuple[Tensor, Tensor]:
    """One sample ``x`` (batch, channels) of ``causal_conv``: the filtered sample and the inputs up to it."""
    now = torch.cat([before[:, :, 1:], x[:, :, None]], 2)
    filtered = (now * conv.weight[:, 0]).sum(2)
    if conv.bias is not None:
        filtered = filtered + conv.bias
    return F.silu(filtered), now
