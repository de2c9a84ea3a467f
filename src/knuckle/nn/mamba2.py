"""Mamba-2 (Dao and Gu 2024, arXiv 2405.21060): the layer of ``mamba_ssm.modules.mamba2``, and it runs on a CPU.

Arguments, parameter names, shapes and initialisation are the original's: a state_dict goes both ways unrenamed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knuckle.core.errors import InputError
from knuckle.nn.backend import check_backend
from knuckle.nn.causal_conv import causal_conv, causal_conv_step
from knuckle.nn.layer import SequenceLayer
from knuckle.nn.mamba import step_size_bias
from knuckle.nn.ssd import ssd


class Mamba2State(NamedTuple):
    """What Mamba-2 carries, as in the original's cache: the last inputs of the filter and the state of the scan."""

    conv: Tensor
    """(batch, d_ssm + 2 ngroups d_state, d_conv), oldest first."""
    ssm: Tensor
    """(batch, heads, headdim, d_state)."""


class GatedRMSNorm(nn.Module):
    """y / rms(y) * weight within each of ``groups`` parts, gated by silu(z) before it, or after."""

    def __init__(self, width: int, groups: int, gate_first: bool, **place: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, **place))
        self.groups, self.gate_first, self.eps = groups, gate_first, 1e-5

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        """``y`` and ``z`` (..., width), and so the result."""
        if self.gate_first:
            y = y * F.silu(z)
        parts = y.unflatten(-1, (self.groups, -1))  # type: ignore[no-untyped-call]
        normed = parts * torch.rsqrt(parts.square().mean(-1, keepdim=True) + self.eps)
        y = normed.flatten(-2) * self.weight
        return y if self.gate_first else y * F.silu(z)


class Mamba2(SequenceLayer):
    """One Mamba-2 layer, (batch, L, d_model) to the same shape.

    ``d_ssm`` of the ``expand * d_model`` inner channels (all where None) go through the scan in heads of ``headdim``,
    the rest through a gate. ``chunk_size`` bounds the chunks of the scan; on a CPU they are shorter.
    ``use_mem_eff_path``, ``sequence_parallel`` and ``layer_idx`` are taken for the original's sake and change nothing;
    ``process_group`` must be None. Raises InputError for sizes that do not divide.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 128,
        d_conv: int = 4,
        conv_init: float | None = None,
        expand: int = 2,
        headdim: int = 64,
        d_ssm: int | None = None,
        ngroups: int = 1,
        A_init_range: tuple[float, float] = (1, 16),
        D_has_hdim: bool = False,
        rmsnorm: bool = True,
        norm_before_gate: bool = False,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init_floor: float = 1e-4,
        dt_limit: tuple[float, float] = (0.0, float("inf")),
        bias: bool = False,
        conv_bias: bool = True,
        chunk_size: int = 256,
        use_mem_eff_path: bool = True,
        layer_idx: int | None = None,
        process_group: None = None,
        sequence_parallel: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__(d_model)
        inner = int(expand * d_model)
        self.d_ssm = inner if d_ssm is None else d_ssm
        self.d_model, self.d_state, self.d_conv, self.d_inner = d_model, d_state, d_conv, inner
        self.headdim, self.ngroups, self.chunk_size = headdim, ngroups, chunk_size
        self._check_sizes(process_group)
        self.nheads = self.d_ssm // headdim
        self.D_has_hdim, self.rmsnorm, self.norm_before_gate = D_has_hdim, rmsnorm, norm_before_gate
        self.dt_limit, self.layer_idx, self.backend = dt_limit, layer_idx, check_backend(backend)
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        low, high = A_init_range
        self.in_proj = nn.Linear(d_model, 2 * inner + 2 * ngroups * d_state + self.nheads, bias=bias, **place)
        wide = self.d_ssm + 2 * ngroups * d_state
        self.conv1d = nn.Conv1d(wide, wide, d_conv, groups=wide, padding=d_conv - 1, bias=conv_bias, **place)
        if conv_init is not None:
            nn.init.uniform_(self.conv1d.weight, -conv_init, conv_init)
        self.dt_bias = nn.Parameter(step_size_bias(torch.rand(self.nheads, **place), dt_min, dt_max, dt_init_floor))
        rates = low + (high - low) * torch.rand(self.nheads, device=device)
        self.A_log = nn.Parameter(torch.log(rates).to(dtype or torch.get_default_dtype()))
        self.D = nn.Parameter(torch.ones(self.d_ssm if D_has_hdim else self.nheads, device=device))
        if rmsnorm:
            self.norm = GatedRMSNorm(self.d_ssm, ngroups, not norm_before_gate, **place)
        self.out_proj = nn.Linear(inner, d_model, bias=bias, **place)

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Mamba2State:
        """The state before any sample, zero."""
        conv = self._zeros(batch, self.conv1d.in_channels, self.d_conv, dtype=dtype, device=device)
        ssm = self._zeros(batch, self.nheads, self.headdim, self.d_state, dtype=dtype, device=device)
        return Mamba2State(conv, ssm)

    def _sequence(self, x: Tensor, state: Mamba2State | None) -> tuple[Tensor, Mamba2State]:
        aside, z, inner, dt = self._parts(x)
        before = None if state is None else state.conv
        inner, conv = causal_conv(inner.transpose(1, 2), self.conv1d, before, self.backend)
        heads, B, C = self._scanned(inner.transpose(1, 2))
        last = None if state is None else state.ssm
        y, ssm = ssd(heads, dt, -torch.exp(self.A_log), B, C, last, self.chunk_size, self.backend)
        return self._joined(aside, y, heads, z), Mamba2State(conv, ssm)

    def _sample(self, x: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        aside, z, inner, dt = self._parts(x)
        inner, conv = causal_conv_step(inner, self.conv1d, state.conv)
        heads, B, C = self._scanned(inner)
        B, C = (t.repeat_interleave(self.nheads // self.ngroups, 1) for t in (B, C))
        decay = torch.exp(dt * -torch.exp(self.A_log))[:, :, None, None]
        ssm = decay * state.ssm + (dt[:, :, None] * heads)[..., None] * B[:, :, None, :]
        y = (ssm @ C[..., None]).squeeze(3)
        return self._joined(aside, y, heads, z), Mamba2State(conv, ssm)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What goes around the scan, the gate, what goes through filter and scan, and the step sizes."""
        rest = self.d_inner - self.d_ssm
        sizes = [rest, rest, self.d_ssm, self.conv1d.in_channels, self.nheads]
        gate, value, z, inner, dt = torch.split(self.in_proj(x), sizes, dim=-1)
        low, high = self.dt_limit
        dt = F.softplus(dt + self.dt_bias).clamp(low, high)
        return F.silu(gate) * value, z, inner, dt

    def _scanned(self, inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The heads (..., heads, headdim), and the B and C (..., groups, d_state) of each sample."""
        states = self.ngroups * self.d_state
        x, B, C = torch.split(inner, [self.d_ssm, states, states], dim=-1)
        shape = inner.shape[:-1]
        B, C = (t.reshape(*shape, self.ngroups, self.d_state) for t in (B, C))
        return x.reshape(*shape, self.nheads, self.headdim), B, C

    def _joined(self, aside: Tensor, y: Tensor, heads: Tensor, z: Tensor) -> Tensor:
        D = self.D.view(self.nheads, -1)
        y = torch.addcmul(y, heads, D).flatten(-2)
        y = self.norm(y, z) if self.rmsnorm else y * F.silu(z)
        out: Tensor = self.out_proj(torch.cat([aside, y], -1) if aside.shape[-1] else y)
        return out

    def _check_sizes(self, process_group: None) -> None:
        sizes = (self.d_model, self.d_state, self.d_conv, self.headdim, self.ngroups, self.chunk_size, self.d_ssm)
        fits = min(sizes) >= 1 and self.d_ssm <= self.d_inner and self.d_ssm % self.headdim == 0
        if not fits or (self.d_ssm // self.headdim) % self.ngroups:
            what = f"d_model={self.d_model}, d_ssm={self.d_ssm}, headdim={self.headdim}, ngroups={self.ngroups}"
            right = f"a headdim that divides d_ssm (up to {self.d_inner}), an ngroups that divides the heads"
            raise InputError(what, where="Mamba2", right=right)
        if process_group is not None:
            raise InputError("process_group is set", where="Mamba2", right="None: one process")
