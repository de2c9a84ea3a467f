"""The causal filter before a state-space scan, and its silu, in C++ under torch's autograd.

Channels are contiguous, in and out, as the linear layers around it leave and want them: nothing is copied on the way.
"""

from __future__ import annotations

import ctypes
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from knuckle.core.errors import InputError, RunError
from knuckle.nn.kernels.arguments import ConvArguments, pointer, strided
from knuckle.nn.kernels.library import instruction_set, library

LANES = 16
MOST_TAPS = 64


def causal_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, before: Tensor | None, *, instructions: str = ""
) -> Tensor:
    """silu of ``x`` (batch, channels, L) filtered by ``weight`` (channels, taps), of that shape, channels contiguous.

    ``before`` (batch, channels, taps), zero where None, are the inputs before, oldest first; the first is not read.
    All on the CPU and all float32, or all float64; every one gets a gradient that asks for it, once. Raises InputError
    for another shape or type, more than 64 taps, and where the kernels were not built.
    """
    if x.dim() != 3 or 0 in x.shape or weight.dim() != 2 or not 0 < weight.shape[1] <= MOST_TAPS:
        what = f"x has shape {tuple(x.shape)} and the weights {tuple(weight.shape)}"
        raise InputError(what, where="causal_conv", right="(batch, channels, L) and (channels, 1 to 64 taps)")
    batch, channels, _ = x.shape
    taps = weight.shape[1]
    bias = x.new_zeros(channels) if bias is None else bias
    before = x.new_zeros(batch, channels, taps) if before is None else before
    wanted = {"weight": (weight, (channels, taps)), "bias": (bias, (channels,))}
    wanted |= {"before": (before, (batch, channels, taps)), "x": (x, tuple(x.shape))}
    for name, (tensor, shape) in wanted.items():
        fits = tuple(tensor.shape) == shape and tensor.dtype == x.dtype and tensor.device.type == "cpu"
        if not fits or x.dtype not in (torch.float32, torch.float64):
            what = f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)} on {tensor.device}"
            raise InputError(what, where="causal_conv", right=f"float32 or float64 as all others, {shape}, on cpu")
    if x.stride(1) != 1:
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    more = (0, -channels % LANES)
    rows = (F.pad(weight.t(), more), F.pad(bias, more), F.pad(before.transpose(1, 2), more))
    apply: Any = _Conv.apply
    return cast(Tensor, apply(instruction_set(instructions), x, *rows))


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, chosen: int, x: Tensor, weight: Tensor, bias: Tensor, before: Tensor) -> Tensor:
        weight, bias, before = weight.contiguous(), bias.contiguous(), before.contiguous()
        out = torch.empty(x.shape[0], x.shape[2], x.shape[1], dtype=x.dtype).transpose(1, 2)
        arguments = _arguments(x, weight, bias, before)
        arguments.out = strided(out)
        _run("knuckle_conv_forward", chosen, x.dtype, arguments)
        ctx.save_for_backward(x, weight, bias, before)
        ctx.chosen = chosen
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # only under create_graph: what follows would be left out without a word
            raise InputError(
                "the C++ filter has no second derivatives", where="causal_conv", right="create_graph=False"
            )
        x, weight, bias, before = ctx.saved_tensors
        if grad_out.stride(1) != 1:
            grad_out = grad_out.transpose(1, 2).contiguous().transpose(1, 2)
        grad_x = torch.empty(x.shape[0], x.shape[2], x.shape[1], dtype=x.dtype).transpose(1, 2)
        sums = [torch.zeros_like(parameter) for parameter in (weight, bias, before)]
        arguments = _arguments(x, weight, bias, before)
        arguments.grad_out, arguments.grad_x = strided(grad_out), strided(grad_x)
        arguments.grad_weight, arguments.grad_bias, arguments.grad_before = (pointer(total) for total in sums)
        _run("knuckle_conv_backward", ctx.chosen, x.dtype, arguments)
        return None, grad_x, *sums


def _arguments(x: Tensor, weight: Tensor, bias: Tensor, before: Tensor) -> ConvArguments:
    batch, channels, length = x.shape
    taps, padded = weight.shape
    arguments = ConvArguments(batch, channels, length, taps, padded, strided(x))
    arguments.weight, arguments.bias, arguments.before = (pointer(p) for p in (weight, bias, before))
    return arguments


def _run(name: str, chosen: int, dtype: torch.dtype, arguments: ConvArguments) -> None:
    if getattr(library(), name)(chosen, int(dtype == torch.float64), ctypes.byref(arguments)):
        raise RunError("there was no memory for the working rows", where=name, right="fewer channels")
