"""S4D (Gu et al. 2022, arXiv 2206.11893): diagonal state spaces, the layer of ``models/s4/s4d.py`` of state-spaces/s4.

Parameter names, shapes and initialisation (S4D-Lin) are the original's: a state_dict goes both ways unrenamed. The
original's convolution has no state; this one has, and steps by the recurrence that the convolution unrolls.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knuckle.core.errors import InputError
from knuckle.nn import linear_system
from knuckle.nn.layer import SequenceLayer
from knuckle.nn.linear_system import LinearSystem


class LinearState(NamedTuple):
    """The state of the linear systems of S4 and S4D: (batch, d_model, d_state), real parts before imaginary ones."""

    x: Tensor


class S4DKernel(nn.Module):
    """The continuous systems x' = A x + u, y = 2 Re(C x), and the step size of each channel."""

    log_dt: Tensor
    log_A_real: Tensor
    A_imag: Tensor

    def __init__(
        self, d_model: int, N: int = 64, dt_min: float = 0.001, dt_max: float = 0.1, lr: float | None = None
    ) -> None:
        super().__init__()
        if d_model < 1 or N < 2 or N % 2 or not 0 < dt_min <= dt_max:
            what = f"d_model={d_model}, d_state={N}, dt_min={dt_min}, dt_max={dt_max}"
            raise InputError(what, where="S4D", right="an even d_state, 0 < dt_min <= dt_max")
        low, high = math.log(dt_min), math.log(dt_max)
        self.C = nn.Parameter(torch.view_as_real(torch.randn(d_model, N // 2, dtype=torch.cfloat)).clone())
        register(self, "log_dt", torch.rand(d_model) * (high - low) + low, lr)
        register(self, "log_A_real", torch.full((d_model, N // 2), math.log(0.5)), lr)
        register(self, "A_imag", math.pi * torch.arange(N // 2).repeat(d_model, 1), lr)

    def system(self) -> LinearSystem:
        """The systems with the input held between samples (zero-order hold), in float64."""
        dt = torch.exp(self.log_dt.double())[:, None]
        re, im = -torch.exp(self.log_A_real.double()), self.A_imag.double()
        # exp(dt A) - 1 without the cancellation: of the real part by a tangent, which ONNX has where it has no expm1,
        # and 1 - cos as a square.
        grown = torch.exp(dt * re)
        f_re = torch.tanh(0.5 * dt * re) * (grown + 1) - 2 * grown * torch.sin(dt * im / 2).square()
        f_im = grown * torch.sin(dt * im)
        size = re * re + im * im
        b = [(f_re * re + f_im * im) / size, (f_im * re - f_re * im) / size]
        c_re, c_im = self.C.double().unbind(2)
        return LinearSystem(f_re, f_im, torch.cat(b, 1), torch.cat([2 * c_re, -2 * c_im], 1))


class S4D(SequenceLayer):
    """One S4D layer: systems, GELU, and a gated linear map of the channels; (batch, L, d_model) to the same shape.

    ``kernel_args`` are ``dt_min``, ``dt_max`` and ``lr``. ``transposed``, the original's order (batch, d_model, L), is
    not offered. Raises InputError for it, an odd ``d_state`` and an empty range of step sizes.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        dropout: float = 0.0,
        transposed: bool = False,
        *,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        lr: float | None = None,
    ) -> None:
        super().__init__(d_model)
        if transposed:
            raise InputError(
                "transposed=True", where="S4D", right="transposed=False: sequences are (batch, L, d_model)"
            )
        self.d_state = d_state
        self.kernel = S4DKernel(d_model, d_state, dt_min, dt_max, lr)
        self.D = nn.Parameter(torch.randn(d_model))
        self.dropout = nn.Dropout1d(dropout)
        self.output_linear = nn.Sequential(nn.Conv1d(d_model, 2 * d_model, kernel_size=1), nn.GLU(dim=-2))

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> LinearState:
        """The state before any sample, zero."""
        return LinearState(self._zeros(batch, self.width, self.d_state, dtype=dtype, device=device))

    def _sequence(self, x: Tensor, state: LinearState | None) -> tuple[Tensor, LinearState]:
        y, after = linear_system.run(self.kernel.system(), x.transpose(1, 2), None if state is None else state.x)
        return self._mixed(x, y), LinearState(after)

    def _outputs(self, x: Tensor, state: LinearState | None) -> Tensor:
        if state is not None or x.shape[1] > linear_system.BLOCK:
            return self._sequence(x, state)[0]
        return self._mixed(x, linear_system.first_outputs(self.kernel.system(), x.transpose(1, 2)))

    def _mixed(self, x: Tensor, y: Tensor) -> Tensor:
        """What becomes of the outputs ``y`` (batch, d_model, L) of the systems for ``x`` (batch, L, d_model)."""
        y = self.dropout(F.gelu(y + x.transpose(1, 2) * self.D[:, None]))
        mixed: Tensor = self.output_linear(y)
        return mixed.transpose(1, 2)

    def _sample(self, x: Tensor, state: LinearState) -> tuple[Tensor, LinearState]:
        y, after = linear_system.step(self.kernel.system().to(x.dtype), x, state.x)
        return self._mixed(x[:, None], y[:, :, None])[:, 0], LinearState(after)


def register(module: nn.Module, name: str, value: Tensor, lr: float | None, weight_decay: float | None = 0.0) -> None:
    """A parameter of a kernel with the original's wishes for an optimiser in ``_optim``; a buffer where ``lr`` is 0."""
    if lr == 0.0:
        module.register_buffer(name, value)
        return
    parameter = nn.Parameter(value)
    wishes = {"lr": lr, "weight_decay": weight_decay}
    parameter._optim = {key: wish for key, wish in wishes.items() if wish is not None}  # type: ignore[attr-defined]
    module.register_parameter(name, parameter)
