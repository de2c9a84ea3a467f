"""The selective scan in C++ beside a loop over time in torch and beside an LSTM, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knuckle.core.errors import RunError
from knuckle.nn.bench import Costs
from knuckle.nn.kernels import selective_scan

BATCH, WIDTH, STATES = 8, 128, 16
LONGER = 8
TOLERANCE = 1e-4

Inputs = tuple[Tensor, ...]
Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """The scan as a loop in torch, written so that autograd costs least.

    Time leads, so that a step is one contiguous block; everything but the recurrence is one operation for all steps;
    `unbind` gives all steps at once (indexing would make the backward quadratic), and a step is one `addcmul`.
    """
    u, dt = u.permute(2, 0, 1).contiguous(), F.softplus(delta).permute(2, 0, 1).contiguous()
    decay = torch.exp(dt[..., None] * A)
    drive = (dt * u)[..., None] * B.permute(2, 0, 1)[:, :, None]
    h, states = torch.zeros_like(drive[0]), []
    for a, x in zip(decay.unbind(0), drive.unbind(0), strict=True):
        h = torch.addcmul(x, a, h)
        states.append(h)
    y = torch.matmul(torch.stack(states), C.permute(2, 0, 1)[..., None]).squeeze(-1)
    return torch.addcmul(y, D, u).permute(1, 2, 0)


def ours(instructions: str) -> Scan:
    """The scan in C++."""

    def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        return selective_scan(u, delta, A, B, C, D, delta_softplus=True, instructions=instructions)[0]

    return scan


def draw(length: int, rng: torch.Generator) -> Inputs:
    """u, delta, A, B, C and D as a trained layer has them: rates 1 to N, steps around 0.02."""
    u, delta = (torch.randn(BATCH, WIDTH, length, generator=rng) for _ in range(2))
    B, C = (torch.randn(BATCH, STATES, length, generator=rng) for _ in range(2))
    A = -torch.arange(1.0, STATES + 1).repeat(WIDTH, 1)
    return tuple(x.requires_grad_() for x in (u, delta - 4.0, A, B, C, torch.ones(WIDTH)))


def measure_scan(length: int, repeats: int, seed: int, instructions: str, said: Callable[[str], None]) -> Costs:
    """Costs of "scan", "loop", "lstm" and "longer" (the scan at LONGER times the length), forward and backward.

    Raises RunError where scan and loop do not give the same.
    """
    rng = torch.Generator().manual_seed(seed)
    inputs, longer = draw(length, rng), draw(LONGER * length, rng)
    weight, long_weight = (torch.randn(x[0].shape, generator=rng) for x in (inputs, longer))
    lstm, scan = nn.LSTM(WIDTH, WIDTH, batch_first=True), ours(instructions)
    sequence = torch.randn(BATCH, length, WIDTH, generator=rng, requires_grad=True)
    lstm_weight = torch.randn(BATCH, length, WIDTH, generator=rng)
    _require_equal(scan, inputs, weight)

    def run_lstm() -> None:
        lstm.zero_grad()
        sequence.grad = None
        (lstm(sequence)[0] * lstm_weight).sum().backward()

    contenders: dict[str, tuple[Callable[[], object], int]] = {
        "scan": (lambda: [_gradients(scan, inputs, weight) for _ in range(3)], 3),
        "longer": (lambda: _gradients(scan, longer, long_weight), 1),
        "lstm": (run_lstm, 1),
        "loop": (lambda: _gradients(loop, inputs, weight), 1),
    }
    Costs().repeat(contenders)
    costs = Costs()
    for k in range(repeats):
        costs.repeat(contenders)
        said(f"scan, repeat {k + 1} of {repeats}: {costs.ratio('loop', 'scan')[-1]:.1f} times a loop's speed")
    return costs


def _gradients(scan: Scan, inputs: Inputs, weight: Tensor) -> tuple[Tensor, ...]:
    """All gradients of a weighted sum of the output."""
    u, delta, A, B, C, D = inputs
    return torch.autograd.grad(scan(u, delta, A, B, C, D), inputs, weight)


def _require_equal(scan: Scan, inputs: Inputs, weight: Tensor) -> None:
    for mine, other in zip(_gradients(scan, inputs, weight), _gradients(loop, inputs, weight), strict=True):
        error = float((mine - other).abs().max() / other.abs().max())
        if not error < TOLERANCE:
            raise RunError(f"gradients differ by {error:.1e} of the largest", where="bench ssm", right=f"{TOLERANCE:g}")
