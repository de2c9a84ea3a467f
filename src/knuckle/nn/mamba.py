"""Mamba (Gu and Dao 2023, arXiv 2312.00752): the layer of ``mamba_ssm.modules.mamba_simple``, and it runs on a CPU.

Arguments, parameter names, shapes and initialisation are the original's: a state_dict goes both ways unrenamed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knuckle.core.errors import InputError
from knuckle.nn.backend import check_backend
from knuckle.nn.causal_conv import causal_conv, causal_conv_step
from knuckle.nn.layer import SequenceLayer
from knuckle.nn.selective_scan import selective_scan


class MambaState(NamedTuple):
    """What Mamba carries: as in the original's inference cache, the last inputs of the filter and the scan's state."""

    conv: Tensor
    """(batch, d_inner, d_conv), oldest first."""
    ssm: Tensor
    """(batch, d_inner, d_state)."""


class Mamba(SequenceLayer):
    """One Mamba layer, (batch, L, d_model) to the same shape.

    ``d_inner`` is ``expand * d_model``; ``dt_rank`` is d_model / 16 rounded up where "auto"; ``dt_min`` and ``dt_max``
    bound the initial step sizes. ``use_fast_path`` and ``layer_idx`` are taken for the original's sake and change
    nothing. ``backend`` is one of knuckle.nn.backend.BACKENDS. Raises InputError for sizes below 1 and unknown names.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: float = 2,
        dt_rank: int | str = "auto",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init: str = "random",
        dt_scale: float = 1.0,
        dt_init_floor: float = 1e-4,
        conv_bias: bool = True,
        bias: bool = False,
        use_fast_path: bool = True,
        layer_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__(d_model)
        self.d_model, self.d_state, self.d_conv, self.expand = d_model, d_state, d_conv, expand
        self.d_inner = int(expand * d_model)
        self.dt_rank = math.ceil(d_model / 16) if dt_rank == "auto" else int(dt_rank)
        if min(d_model, d_state, d_conv, self.d_inner, self.dt_rank) < 1:
            sizes = f"d_model={d_model}, d_state={d_state}, d_conv={d_conv}, expand={expand}, dt_rank={dt_rank}"
            raise InputError(sizes, where="Mamba", right="sizes of at least 1")
        self.use_fast_path, self.layer_idx, self.backend = use_fast_path, layer_idx, check_backend(backend)
        inner = self.d_inner
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=bias, device=device, dtype=dtype)
        self.conv1d = nn.Conv1d(
            inner, inner, d_conv, groups=inner, padding=d_conv - 1, bias=conv_bias, device=device, dtype=dtype
        )
        self.x_proj = nn.Linear(inner, self.dt_rank + 2 * d_state, bias=False, device=device, dtype=dtype)
        self.dt_proj = nn.Linear(self.dt_rank, inner, bias=True, device=device, dtype=dtype)
        _init_dt_weight(self.dt_proj.weight, dt_init, dt_scale * self.dt_rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(
                step_size_bias(torch.rand(inner, device=device, dtype=dtype), dt_min, dt_max, dt_init_floor)
            )
        rates = torch.arange(1, d_state + 1, dtype=torch.float32, device=device)
        self.A_log = nn.Parameter(torch.log(rates).repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner, device=device))
        self.out_proj = nn.Linear(inner, d_model, bias=bias, device=device, dtype=dtype)

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> MambaState:
        """The state before any sample, zero."""
        conv = self._zeros(batch, self.d_inner, self.d_conv, dtype=dtype, device=device)
        return MambaState(conv, self._zeros(batch, self.d_inner, self.d_state, dtype=dtype, device=device))

    def _sequence(self, x: Tensor, state: MambaState | None) -> tuple[Tensor, MambaState]:
        inner, z = self.in_proj(x).transpose(1, 2).chunk(2, dim=1)
        inner, conv = causal_conv(inner, self.conv1d, None if state is None else state.conv, self.backend)
        dt, B, C = self._selected(inner.transpose(1, 2))
        y, ssm = selective_scan(
            inner,
            F.linear(dt, self.dt_proj.weight).transpose(1, 2),
            -torch.exp(self.A_log),
            B.transpose(1, 2),
            C.transpose(1, 2),
            self.D,
            z,
            self.dt_proj.bias,
            True,
            None if state is None else state.ssm,
            self.backend,
        )
        return self.out_proj(y.transpose(1, 2)), MambaState(conv, ssm)

    def _sample(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        inner, z = self.in_proj(x).chunk(2, dim=1)
        inner, conv = causal_conv_step(inner, self.conv1d, state.conv)
        dt, B, C = self._selected(inner)
        dt = F.softplus(self.dt_proj(dt))
        decay = torch.exp(dt[:, :, None] * -torch.exp(self.A_log))
        ssm = decay * state.ssm + (dt * inner)[:, :, None] * B[:, None, :]
        y = (ssm @ C[:, :, None]).squeeze(2) + self.D * inner
        return self.out_proj(y * F.silu(z)), MambaState(conv, ssm)

    def _selected(self, inner: Tensor) -> list[Tensor]:
        """What the input chooses for itself: step sizes before their projection, and the B and C of each sample."""
        return list(self.x_proj(inner).split([self.dt_rank, self.d_state, self.d_state], dim=-1))


def step_size_bias(uniform: Tensor, low: float, high: float, floor: float) -> Tensor:
    """Biases whose softplus is a step size drawn log-uniformly from [low, high] by ``uniform``, at least ``floor``."""
    size = torch.exp(uniform * (math.log(high) - math.log(low)) + math.log(low)).clamp(min=floor)
    return size + torch.log(-torch.expm1(-size))


def _init_dt_weight(weight: Tensor, how: str, scale: float) -> None:
    if how == "constant":
        nn.init.constant_(weight, scale)
    elif how == "random":
        nn.init.uniform_(weight, -scale, scale)
    else:
        raise InputError(f"dt_init is '{how}'", where="Mamba", right="'random' or 'constant'")
