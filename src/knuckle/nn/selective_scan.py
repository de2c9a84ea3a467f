"""The selective scan of Mamba (Gu and Dao 2023, arXiv 2312.00752, algorithm 2), with the state it ends in.

h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,   y_t = C_t h_t + D u_t, gated by silu(z_t) where there is a z.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.nn.backend import resolve
from knuckle.nn.scan_torch import scan


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
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The output (batch, D, L) and the last state (batch, D, N).

    Shapes are those of ``mamba_ssm``'s ``selective_scan_fn``: ``u``, ``delta`` and ``z`` (batch, D, L); ``A`` (D, N),
    real; ``B`` and ``C`` (batch, N, L); ``D`` and ``delta_bias`` (D,); ``initial_state`` (batch, D, N), zero where
    None. Computed in float32, or float64 where ``u`` is; the output has the type of ``u``. Every input has a gradient
    on the backends "cpp" and "torch"; the original's kernel starts from zero and gives the last state none.
    Raises InputError where shapes do not fit or a forced backend cannot run.
    """
    _check(u, delta, A, B, C, D, z, delta_bias, initial_state)
    dtype = torch.promote_types(u.dtype, torch.float32)
    chosen = resolve(backend, u.device)
    if chosen == "mamba_ssm" and initial_state is not None:
        if backend == "mamba_ssm":
            raise InputError("backend 'mamba_ssm' starts from zero, not from a state", right="'auto' or 'torch'")
        chosen = "torch"
    if chosen == "mamba_ssm":
        original = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
        return cast(tuple[Tensor, Tensor], original(u, delta, A, B, C, D, z, delta_bias, delta_softplus, True))
    run: Callable[..., tuple[Tensor, Tensor]] = _cpp() if chosen == "cpp" else _torch
    given = [None if x is None else x.to(dtype) for x in (u, delta, A, B, C, D, z, delta_bias)]
    y, last = run(*given, delta_softplus, None if initial_state is None else initial_state.to(dtype))
    return y.to(u.dtype), last.contiguous()


def _cpp() -> Callable[..., tuple[Tensor, Tensor]]:
    return cast(Callable[..., tuple[Tensor, Tensor]], importlib.import_module("knuckle.nn.kernels").selective_scan)


def _torch(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    initial_state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    if initial_state is None:
        initial_state = u.new_zeros(u.shape[0], *A.shape)
    y, last = scan(u, delta, A, B, C, initial_state)
    if D is not None:
        y = torch.addcmul(y, u, D[:, None])
    if z is not None:
        y = y * F.silu(z)
    return y, last


def _check(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
) -> None:
    if u.dim() != 3 or A.dim() != 2 or u.shape[2] == 0:
        what = f"u has shape {tuple(u.shape)} and A {tuple(A.shape)}"
        raise InputError(what, where="selective_scan", right="u (batch, D, L) with L at least 1, and A (D, N)")
    if A.is_complex():
        raise InputError("A is complex", where="selective_scan", right="a real A")
    batch, width, length = u.shape
    states = A.shape[1]
    wanted: dict[str, tuple[Any, tuple[int, ...]]] = {
        "A": (A, (width, states)),
        "delta": (delta, (batch, width, length)),
        "B": (B, (batch, states, length)),
        "C": (C, (batch, states, length)),
        "D": (D, (width,)),
        "z": (z, (batch, width, length)),
        "delta_bias": (delta_bias, (width,)),
        "initial_state": (initial_state, (batch, width, states)),
    }
    for name, (tensor, shape) in wanted.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            what = f"{name} has shape {tuple(tensor.shape)}"
            raise InputError(what, where="selective_scan", right=f"{shape}, as u is {tuple(u.shape)}")
