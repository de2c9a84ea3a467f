"""S4 (Gu et al. 2021, arXiv 2111.00396) with HiPPO-LegS, diagonal minus rank one: ``S4Block`` of state-spaces/s4.

Parameter names and shapes are those of ``models/s4/s4.py``, so a state_dict goes both ways unrenamed; one of HiSS's
copy, which keeps the output map as a convolution, is taken too. Two things are done otherwise, to the same end:

- The original evaluates a kernel at the roots of unity, which wants C~ = C (1 - A^L) in the place of C, writes C~ over
  the parameter when a longer sequence comes, and keeps L in ``l_kernel``. Here C stays C and ``l_kernel`` 0, which the
  original reads as "not yet corrected"; weights with a longer ``l_kernel`` are turned back to C when they are loaded.
- The convolution is done in blocks (linear_system), not by FFT: no kernel as long as the sequence is made.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knuckle.core.errors import InputError
from knuckle.nn import linear_system
from knuckle.nn.hippo import legs_diagonal_plus_rank_one
from knuckle.nn.layer import SequenceLayer
from knuckle.nn.linear_system import LinearSystem
from knuckle.nn.s4d import LinearState, register


class S4Kernel(nn.Module):
    """The continuous systems x' = (A - P P*) x + B u, y = 2 Re(C x), and the step size of each channel.

    ``n_ssm`` copies of A, P and B are shared by the channels, one for each where None.
    """

    inv_dt: Tensor
    C: Tensor
    B: Tensor
    P: Tensor
    A_real: Tensor
    A_imag: Tensor
    l_kernel: Tensor

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        n_ssm: int | None = None,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        lr: float | None = None,
        wd: float | None = 0.0,
    ) -> None:
        super().__init__()
        copies = d_model if n_ssm is None else n_ssm
        if d_model < 1 or d_state < 4 or d_state % 2 or copies < 1 or d_model % copies or not 0 < dt_min <= dt_max:
            what = f"d_model={d_model}, d_state={d_state}, n_ssm={n_ssm}, dt_min={dt_min}, dt_max={dt_max}"
            right = "an even d_state of at least 4, an n_ssm that divides d_model, 0 < dt_min <= dt_max"
            raise InputError(what, where="S4", right=right)
        self.d_model, self.d_state = d_model, d_state
        low, high = math.log(dt_min), math.log(dt_max)
        A, P, B = (x.to(torch.cfloat).repeat(copies, 1) for x in legs_diagonal_plus_rank_one(d_state))
        C = torch.randn(1, d_model, d_state // 2, dtype=torch.cfloat)
        register(self, "inv_dt", torch.rand(d_model, 1) * (high - low) + low, lr, wd)
        register(self, "C", torch.view_as_real(C).clone(), lr=None, weight_decay=None)
        register(self, "B", torch.view_as_real(B[None]).clone(), lr, wd)
        register(self, "A_real", torch.log((-A.real).clamp(min=1e-4)), lr, wd)
        register(self, "A_imag", (-A.imag).clamp(min=1e-4), lr, wd)
        register(self, "P", torch.view_as_real(P[None]).clone(), lr, wd)
        self.register_buffer("l_kernel", torch.tensor(0))
        self.register_load_state_dict_post_hook(lambda kernel, _: kernel._uncorrect())  # type: ignore[no-untyped-call]

    def system(self) -> LinearSystem:
        """The systems after the bilinear transform, in float64: still diagonal minus rank one, by Woodbury's identity.

        With E = 1 / (1 - dt A / 2) and M = 1 + dt/2 P* E P, one step is 2 E - 1 - dt E P M^-1 P* E.
        """
        dt = torch.exp(self.inv_dt.double())
        A = (self._each(-torch.exp(self.A_real.double())), self._each(-self.A_imag.double()))
        P, B, C = (self._each(x[0].double()).unbind(2) for x in (self.P, self.B, self.C))
        # In pairs of real numbers, not complex ones: these are what a graph can be exported with.
        under = (1 - dt / 2 * A[0], -dt / 2 * A[1])
        size = under[0].square() + under[1].square()
        E = (under[0] / size, -under[1] / size)
        EP, EB, EA = _times(E, P), _times(E, B), _times(E, A)
        M = 1 + dt * _inner(P, EP)
        p = [dt * x / M for x in EP]
        b = [dt * (x - y * _inner(P, EB)) for x, y in zip(EB, p, strict=True)]
        q = _times(E, (P[0], -P[1]))
        return LinearSystem(dt * EA[0], dt * EA[1], torch.cat(b, 1), _twice(C), torch.cat(p, 1), _twice(q))

    def _each(self, x: Tensor) -> Tensor:
        """What ``n_ssm`` copies share, for each channel: copy after copy, as the original lays them out."""
        return x.repeat(self.d_model // len(x), *[1] * (x.dim() - 1))

    @torch.no_grad()
    def _uncorrect(self) -> None:
        """C from the C~ of a kernel of length ``l_kernel``: C = C~ (1 - A^L)^-1."""
        length = int(self.l_kernel)
        if length == 0:
            return
        system = self.system()
        gone = linear_system.power(system, length)
        rows = torch.linalg.solve(torch.eye(self.d_state).to(gone) - gone.mT, system.c[..., None])
        re, im = rows.squeeze(2).chunk(2, dim=1)
        self.C.copy_(torch.stack([re / 2, -im / 2], 2)[None])
        self.l_kernel.zero_()


class FFTConv(nn.Module):
    """The systems and their skip ``D``; the name and the parameters' place are the original's."""

    def __init__(self, d_model: int, dropout: float, tie_dropout: bool, kernel: S4Kernel) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.randn(1, d_model))
        self.kernel = kernel
        self.drop = nn.Dropout1d(dropout) if tie_dropout else nn.Dropout(dropout)


class S4(SequenceLayer):
    """One S4 layer: systems, GELU, and a gated linear map of the channels; (batch, L, d_model) to the same shape.

    The arguments are those of the original's ``S4Block`` that HiSS's models use, with their defaults. The original's
    order (batch, d_model, L) and other kernels, initialisations, ranks and channels are not offered: InputError.
    """

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.0,
        tie_dropout: bool = False,
        transposed: bool = False,
        *,
        d_state: int = 64,
        n_ssm: int | None = None,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        lr: float | None = None,
        wd: float | None = 0.0,
        **fixed: Any,
    ) -> None:
        super().__init__(d_model)
        _refuse({"transposed": transposed, **fixed})
        self.d_state = d_state
        kernel = S4Kernel(d_model, d_state, n_ssm, dt_min, dt_max, lr, wd)
        self.layer = FFTConv(d_model, dropout, tie_dropout, kernel)
        self.drop = nn.Dropout1d(dropout) if tie_dropout else nn.Dropout(dropout)
        self.output_linear = nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.GLU(dim=-1))
        self.register_load_state_dict_pre_hook(_flatten_output)  # type: ignore[no-untyped-call]

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> LinearState:
        """The state before any sample, zero."""
        return LinearState(self._zeros(batch, self.width, self.d_state, dtype=dtype, device=device))

    def _sequence(self, x: Tensor, state: LinearState | None) -> tuple[Tensor, LinearState]:
        y, after = linear_system.run(self._system(), x.transpose(1, 2), None if state is None else state.x)
        return self._mixed(x, y), LinearState(after)

    def _outputs(self, x: Tensor, state: LinearState | None) -> Tensor:
        if state is not None or x.shape[1] > linear_system.BLOCK:
            return self._sequence(x, state)[0]
        return self._mixed(x, linear_system.first_outputs(self._system(), x.transpose(1, 2)))

    def _mixed(self, x: Tensor, y: Tensor) -> Tensor:
        """What becomes of the outputs ``y`` (batch, d_model, L) of the systems for ``x`` (batch, L, d_model)."""
        y = self.drop(F.gelu(self.layer.drop(y + x.transpose(1, 2) * self.layer.D[0, :, None])))
        mixed: Tensor = self.output_linear(y.transpose(1, 2))
        return mixed

    def _system(self) -> LinearSystem:
        return self.layer.kernel.system()

    def _sample(self, x: Tensor, state: LinearState) -> tuple[Tensor, LinearState]:
        y, after = linear_system.step(self._system().to(x.dtype), x, state.x)
        return self._mixed(x[:, None], y[:, :, None])[:, 0], LinearState(after)


FIXED: dict[str, Any] = {
    "transposed": False,
    "bottleneck": None,
    "gate": None,
    "gate_act": None,
    "mult_act": None,
    "final_act": "glu",
    "weight_norm": False,
    "l_max": None,
    "channels": 1,
    "bidirectional": False,
    "activation": "gelu",
    "drop_kernel": 0.0,
    "mode": "dplr",
    "init": "legs",
    "rank": 1,
    "deterministic": False,
    "dt_tie": True,
    "dt_transform": "exp",
    "disc": "bilinear",
    "verbose": False,
}
"""Arguments of the original that are taken at the one value that is built."""


def _refuse(arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        if name not in FIXED:
            raise InputError(f"unknown argument '{name}'", where="S4", right=f"also known: {', '.join(sorted(FIXED))}")
        if value != FIXED[name]:
            raise InputError(f"{name}={value!r}", where="S4", right=f"{name}={FIXED[name]!r}, the only one built")


def _flatten_output(layer: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take the output map of HiSS's copy, a convolution of length 1."""
    name = f"{prefix}output_linear.0.weight"
    if name in state and state[name].dim() == 3:
        state[name] = state[name].squeeze(2)


Pair = tuple[Tensor, ...]
"""Real and imaginary parts."""


def _times(x: Pair, y: Pair) -> Pair:
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


def _inner(x: Pair, y: Pair) -> Tensor:
    """Re(x* y), summed over the states, (H, 1)."""
    return (x[0] * y[0] + x[1] * y[1]).sum(1, keepdim=True)


def _twice(x: Pair) -> Tensor:
    """The row that maps real and imaginary parts of a state to 2 Re(x state)."""
    return torch.cat([2 * x[0], -2 * x[1]], 1)
