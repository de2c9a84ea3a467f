"""Many small linear systems side by side, one per channel: sample by sample, and over a sequence in blocks.

x_t = (1 + F) x_{t-1} + b u_t,   y_t = c x_t,   with F diagonal in complex numbers, or that minus p q^T (S4).
A state of N real numbers is N/2 complex ones, real parts first; of each pair of conjugates one is kept, and ``c`` and
``q`` count it twice. What is kept of the step is its difference from 1: rounding that would be a bias of every sample,
where the memory is long.

A convolution by FFT makes a kernel as long as the sequence first. In blocks of T samples the same sums are three
matrix products per channel: block to block by (1 + F)^T, and within a block by the first T taps. That is linear in the
length, has the states on the way, and is what a processor does fastest.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

BLOCK = 64
"""Samples per block, a power of two."""
EXACT = 8
"""Up to this power 1 + F is multiplied out in float64: the lower the power, the more often an error in it counts."""


class LinearSystem(NamedTuple):
    """The discrete systems of H channels, N real state numbers each; ``p`` and ``q`` are None where F is diagonal."""

    f_re: Tensor
    """(H, N / 2), with ``f_im`` the diagonal of F."""
    f_im: Tensor
    b: Tensor
    """(H, N), as ``c``, ``p`` and ``q``."""
    c: Tensor
    p: Tensor | None = None
    q: Tensor | None = None

    def to(self, dtype: torch.dtype) -> LinearSystem:
        """The same systems in another precision."""
        return LinearSystem(*(None if x is None else x.to(dtype) for x in self))  # type: ignore[arg-type]


def step(system: LinearSystem, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The output (batch, H) for one sample ``u`` (batch, H) from the state ``x`` (batch, H, N), and the state after."""
    re, im = x.chunk(2, dim=-1)
    turned = [system.f_re * re - system.f_im * im, system.f_re * im + system.f_im * re]
    change = torch.cat(turned, -1) + system.b * u[..., None]
    if system.p is not None and system.q is not None:
        change = change - system.p * (system.q * x).sum(-1, keepdim=True)
    x = x + change
    return (system.c * x).sum(-1), x


def run(system: LinearSystem, u: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
    """The outputs (batch, H, L) for ``u`` (batch, H, L) from the state ``x`` (batch, H, N), zero where None, and the
    state after; ``system`` in float64, the sequence in whatever type it has."""
    batch, channels, length = u.shape
    size = min(BLOCK, 1 << (length.bit_length() - 1))
    taps, into, out, powers = _blocks(system, size, u.dtype)
    state = u.new_zeros(channels, into.shape[1], batch) if x is None else x.permute(1, 2, 0)
    outputs = []
    whole = length // size
    if whole:
        given = u[:, :, : whole * size].reshape(batch, channels, whole, size).permute(1, 3, 0, 2).flatten(2)
        states = []
        for arrived in (into @ given).view(channels, -1, batch, whole).unbind(3):
            states.append(state)
            state = powers[-1].after(state) + arrived
        y = taps @ given + out @ torch.stack(states, 3).flatten(2)
        outputs.append(y.view(channels, size, batch, whole).permute(2, 0, 3, 1).flatten(2))
    # What is left over is shorter than a block: one piece for each power of two in its length.
    at = whole * size
    for k in reversed(range(len(powers) - 1)):
        piece = 1 << k
        if (length - at) & piece:
            given = u[:, :, at : at + piece].permute(1, 2, 0)
            outputs.append((taps[:, :piece, :piece] @ given + out[:, :piece] @ state).permute(2, 0, 1))
            state = powers[k].after(state) + into[:, :, size - piece :] @ given
            at += piece
    return torch.cat(outputs, 2), state.permute(2, 0, 1).contiguous()


def power(system: LinearSystem, exponent: int) -> Tensor:
    """(1 + F) to a power of at least 1, (H, N, N): how a state is gone after that many samples without input."""
    now = _first_power(system)
    result = torch.eye(system.b.shape[1], dtype=system.b.dtype, device=system.b.device).expand(len(system.b), -1, -1)
    while exponent:
        if exponent & 1:
            result = now.after(result)
        exponent >>= 1
        if exponent:
            now = now.squared()
    return result


def first_outputs(system: LinearSystem, u: Tensor) -> Tensor:
    """What ``run`` gives from the beginning for a sequence ``u`` (batch, H, L) of at most BLOCK samples, without the
    state after it: only the taps of the kernel are needed, and no power of 1 + F."""
    x, taps = torch.zeros_like(system.b)[None], []
    one = torch.ones_like(system.b[:, 0])[None]
    for sample in (one, *[torch.zeros_like(one)] * (u.shape[2] - 1)):
        tap, x = step(system, sample, x)
        taps.append(tap[0])
    return (_toeplitz(torch.stack(taps, 1)).to(u.dtype) @ u.permute(1, 2, 0)).permute(2, 0, 1)


class _Power(Protocol):
    """(1 + F) to some power."""

    def after(self, columns: Tensor) -> Tensor: ...

    def before(self, rows: Tensor) -> Tensor: ...

    def squared(self) -> _Power: ...

    def to(self, dtype: torch.dtype) -> _Power: ...


class _Dense(NamedTuple):
    f: Tensor
    """(H, N, N)."""

    def after(self, columns: Tensor) -> Tensor:
        return columns + self.f @ columns

    def before(self, rows: Tensor) -> Tensor:
        return rows + rows @ self.f

    def squared(self) -> _Dense:
        return _Dense(2 * self.f + self.f @ self.f)

    def to(self, dtype: torch.dtype) -> _Dense:
        return _Dense(self.f.to(dtype))


class _Diagonal(NamedTuple):
    re: Tensor
    """(H, N / 2, 1), as ``im``."""
    im: Tensor

    def after(self, columns: Tensor) -> Tensor:
        re, im = columns.chunk(2, dim=1)
        return columns + torch.cat([self.re * re - self.im * im, self.re * im + self.im * re], 1)

    def before(self, rows: Tensor) -> Tensor:
        re, im = rows.chunk(2, dim=2)
        f, g = self.re.transpose(1, 2), self.im.transpose(1, 2)
        return rows + torch.cat([re * f + im * g, im * f - re * g], 2)

    def squared(self) -> _Diagonal:
        re, im = self.re, self.im
        return _Diagonal(2 * re + re * re - im * im, 2 * im + 2 * re * im)

    def to(self, dtype: torch.dtype) -> _Diagonal:
        return _Diagonal(self.re.to(dtype), self.im.to(dtype))


def _blocks(system: LinearSystem, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, list[_Power]]:
    """The matrices of a block of ``size``: inputs to outputs (H, T, T), inputs to the state after (H, N, T), the state
    before to outputs (H, T, N), and (1 + F) to the powers 1, 2, 4, ... ``size``."""
    powers = [_first_power(system)]
    driven, seen = system.b[:, :, None], system.c[:, None, :]
    rows = powers[0].before(seen)
    while driven.shape[2] < size:
        if driven.shape[2] == EXACT:
            powers = [power.to(dtype) for power in powers]
            driven, seen, rows = driven.to(dtype), seen.to(dtype), rows.to(dtype)
        driven = torch.cat([driven, powers[-1].after(driven)], 2)
        rows = torch.cat([rows, powers[-1].before(rows)], 1)
        powers.append(powers[-1].squared())
    kernel = (seen @ driven).squeeze(1)
    return _toeplitz(kernel).to(dtype), driven.flip(2).to(dtype), rows.to(dtype), [power.to(dtype) for power in powers]


def _toeplitz(kernel: Tensor) -> Tensor:
    """The matrices (H, T, T) that convolve T samples with kernels (H, T), lower triangular."""
    size = kernel.shape[1]
    return torch.cat([kernel.new_zeros(len(kernel), size - 1), kernel], 1).unfold(1, size, 1).flip(2)


def _first_power(system: LinearSystem) -> _Power:
    if system.p is None or system.q is None:
        return _Diagonal(system.f_re[:, :, None], system.f_im[:, :, None])
    re, im = torch.diag_embed(system.f_re), torch.diag_embed(system.f_im)
    turn = torch.cat([torch.cat([re, -im], 2), torch.cat([im, re], 2)], 1)
    return _Dense(turn - system.p[:, :, None] * system.q[:, None, :])
