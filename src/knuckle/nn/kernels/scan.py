"""The selective scan of Mamba in C++ under torch's autograd: fused, forward and backward, on one thread.

Forward keeps, beside the inputs, only the state at the start of each chunk of CHUNK steps; backward runs each chunk
again. Time or channels may be contiguous: both orders are read and written where they lie. In float32 exp, sigmoid and
softplus are right to about 2e-7 relative; decays below 2**-126 are taken for that, and above 2**127.5 they stay
finite.
"""

from __future__ import annotations

import ctypes
from typing import Any, cast

import torch
from torch import Tensor

from knuckle.core.errors import InputError, RunError
from knuckle.nn.kernels.arguments import ScanArguments, pointer, strided
from knuckle.nn.kernels.library import instruction_set, library

CHUNK = 64
LARGE = 8 << 20
"""Bytes from which a tensor is asked to lie on huge pages."""

LANES = 16
"""The widest vector of any instruction set, in float32: channels of kept states are padded to it."""


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
    *,
    instructions: str = "",
) -> tuple[Tensor, Tensor]:
    """The output (batch, D, L) and the last state (batch, D, N).

    ``u``, ``delta`` and ``z`` (batch, D, L); ``A`` (D, N); ``B`` and ``C`` (batch, N, L); ``D`` and ``delta_bias``
    (D,); ``initial_state`` (batch, D, N), zero where None. All on the CPU and all float32, or all float64; every one
    gets a gradient that asks for it, once (no second derivatives). ``instructions`` forces an instruction set.
    Raises InputError for another shape, type or device, and where the kernels were not built.
    """
    tensors = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "z": z}
    tensors |= {"delta_bias": delta_bias, "initial_state": initial_state}
    check(tensors)
    chosen = instruction_set(instructions)
    keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors.values())
    given = [None if x is None else x.contiguous() for x in (A, D, delta_bias, initial_state)]
    apply: Any = _Scan.apply
    return cast(tuple[Tensor, Tensor], apply(chosen, keep, delta_softplus, u, delta, z, B, C, *given))


def check(tensors: dict[str, Tensor | None]) -> None:
    """InputError where the inputs of a scan do not fit each other; ``u`` and ``A`` say what would."""
    u, A = tensors["u"], tensors["A"]
    if u is None or A is None or u.dim() != 3 or A.dim() != 2 or 0 in u.shape or 0 in A.shape:
        shapes = [None if x is None else tuple(x.shape) for x in (u, A)]
        what = f"u has shape {shapes[0]} and A {shapes[1]}"
        raise InputError(what, where="selective_scan", right="u (batch, D, L) and A (D, N), none of them empty")
    batch, width, length = u.shape
    states = A.shape[1]
    shapes_of = {"A": (width, states), "B": (batch, states, length), "C": (batch, states, length)}
    shapes_of |= {"D": (width,), "delta_bias": (width,), "initial_state": (batch, width, states)}
    if u.dtype not in (torch.float32, torch.float64):
        raise InputError(f"u is {u.dtype}", where="selective_scan", right="torch.float32 or torch.float64")
    for name, x in tensors.items():
        wanted = shapes_of.get(name, (batch, width, length))
        if x is not None and (tuple(x.shape) != wanted or x.dtype != u.dtype or x.device.type != "cpu"):
            what = f"{name} is {x.dtype} of shape {tuple(x.shape)} on {x.device}"
            raise InputError(what, where="selective_scan", right=f"{u.dtype} of shape {wanted} on cpu, as u has it")


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        chosen: int,
        keep: bool,
        softplus: bool,
        u: Tensor,
        delta: Tensor,
        z: Tensor | None,
        B: Tensor,
        C: Tensor,
        A: Tensor,
        D: Tensor | None,
        bias: Tensor | None,
        first: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        batch, width, length = u.shape
        states = A.shape[1]
        out, last = _fresh(torch.empty_like(u)), u.new_empty(batch, width, states)
        padded = -(-width // LANES) * LANES
        starts = _fresh(u.new_empty(batch, -(-length // CHUNK), states, padded)) if keep else None
        arguments = ScanArguments(batch, width, states, length, CHUNK, padded, softplus)
        for name, x in (("u", u), ("delta", delta), ("z", z), ("B", B), ("C", C), ("out", out)):
            setattr(arguments, name, strided(x))
        contiguous = (("A", A), ("D", D), ("bias", bias), ("first", first), ("last", last), ("starts", starts))
        for name, x in contiguous:
            setattr(arguments, name, pointer(x))
        _run("knuckle_scan_forward", chosen, u.dtype, arguments)
        ctx.save_for_backward(u, delta, z, B, C, A, D, bias, first, starts)
        ctx.chosen, ctx.softplus, ctx.padded = chosen, softplus, padded
        return out, last

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_last: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # only under create_graph: what follows would be left out without a word
            raise InputError(
                "the C++ scan has no second derivatives", where="selective_scan", right="create_graph=False"
            )
        u, delta, z, B, C, A, D, bias, first, starts = ctx.saved_tensors
        batch, width, length = u.shape
        arguments = ScanArguments(batch, width, A.shape[1], length, CHUNK, ctx.padded, ctx.softplus)
        grad_last = grad_last.contiguous()
        grads = {name: _like(x) for name, x in (("u", u), ("delta", delta), ("z", z), ("B", B), ("C", C))}
        sums = {name: _like(x) for name, x in (("A", A), ("D", D), ("bias", bias), ("first", first))}
        for name, x in (("u", u), ("delta", delta), ("z", z), ("B", B), ("C", C), ("grad_out", grad_out)):
            setattr(arguments, name, strided(x))
        for name, x in (("A", A), ("D", D), ("bias", bias), ("starts", starts), ("grad_last", grad_last)):
            setattr(arguments, name, pointer(x))
        for name, x in grads.items():
            setattr(arguments, f"grad_{name}", strided(x))
        for name, x in sums.items():
            setattr(arguments, f"grad_{name}", pointer(x))
        _run("knuckle_scan_backward", ctx.chosen, u.dtype, arguments)
        return None, None, None, *grads.values(), *sums.values()


def _like(x: Tensor | None) -> Tensor | None:
    """Room for the gradient of ``x``: dense, since ``x`` may be expanded over an axis whose elements it shares."""
    return None if x is None else _fresh(torch.empty_like(x))


def _fresh(x: Tensor) -> Tensor:
    """``x`` itself, on huge pages where it is large and the system has them."""
    if x.nbytes >= LARGE:
        library().knuckle_prepare(ctypes.c_void_p(x.data_ptr()), ctypes.c_int64(x.nbytes))
    return x


def _run(name: str, chosen: int, dtype: torch.dtype, arguments: ScanArguments) -> None:
    if getattr(library(), name)(chosen, int(dtype == torch.float64), ctypes.byref(arguments)):
        raise RunError("there was no memory for the working tiles", where=name, right="a shorter batch")
