"""HiPPO-LegS (Gu et al. 2020, arXiv 2008.07669) in the form that S4 wants: diagonal minus rank one, in complex numbers.

The matrix A[n, k] = -sqrt((2n + 1)(2k + 1)) below the diagonal and -(n + 1) on it is normal but for one vector:
A + P P^T = -1/2 + a skew-symmetric matrix, with P_n = sqrt(n + 1/2) (S4, Gu et al. 2021, arXiv 2111.00396, theorem 1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def legs(states: int) -> tuple[Tensor, Tensor]:
    """HiPPO-LegS itself in float64: A (states, states) and B (states,)."""
    order = torch.arange(states, dtype=torch.float64)
    root = torch.sqrt(2 * order + 1)
    return -torch.tril(torch.outer(root, root), -1) - torch.diag(order + 1), root


def legs_diagonal_plus_rank_one(states: int, clip: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """The diagonal, P and B (states / 2,) of complex128, one of each pair of conjugates, with negative imaginary parts.

    A is unitarily the same as diag - P P*. Imaginary parts of B beyond ``clip`` are cut, as in the original.
    """
    A, B = legs(states)
    P = torch.sqrt(torch.arange(states, dtype=torch.float64) + 0.5)
    normal = A + torch.outer(P, P)
    frequencies, V = torch.linalg.eigh(-1j * normal)
    half = V[:, : states // 2].conj().T
    # eigh sorts, so the first half has the negative frequencies; the real part is the same, -1/2, for all.
    diagonal = normal.diagonal().mean() + 1j * frequencies[: states // 2]
    B_half = half @ B.to(half.dtype)
    return diagonal, half @ P.to(half.dtype), torch.complex(B_half.real, B_half.imag.clamp(-clip, clip))
