"""P' = F P F^T + N over all steps at once, for unit upper triangular F: running sums instead of a loop."""

from __future__ import annotations

from functools import reduce
from operator import add

from torch import Tensor

from knuckle.motion.forecast import accumulate

Entries = dict[tuple[int, int], Tensor]
"""The entries of matrices (..., T), or (...) before the first step, that are not zero by construction."""


def entries(matrix: Tensor | None) -> Entries:
    """The upper triangle of symmetric matrices (..., n, n); nothing where None."""
    if matrix is None:
        return {}
    size = matrix.shape[-1]
    return {(i, j): matrix[..., i, j] for i in range(size) for j in range(i, size)}


def carry(size: int, start: Entries, U: Entries, N: Entries, like: Tensor) -> tuple[Entries, Entries]:
    """The upper triangles of P before and after each step, with F = 1 + U; ``like`` (..., T) gives the shape.

    Entry (i, j) grows by N_ij + sum_k U_ik (P F^T)_kj + sum_l P_il U_jl. With U strictly upper triangular these are
    entries further down or to the right: from the last to the first, each is a running sum of sums that are known.
    """
    before: Entries = {}
    after: Entries = {}
    rows = {i: [(k, u) for (row, k), u in U.items() if row == i] for i in range(size)}

    def P(i: int, j: int) -> Tensor | None:
        return before.get((i, j) if i <= j else (j, i))

    def growth(i: int, j: int) -> Tensor | None:
        by_column = [p * u for column, u in rows[j] if (p := P(i, column)) is not None]
        by_row = [u * p for k, u in rows[i] if (p := stepped(k, j)) is not None]
        return _total([N.get((i, j)), *by_column, *by_row])

    def stepped(k: int, j: int) -> Tensor | None:
        """(P F^T)_kj."""
        if (k, j) not in memory:
            memory[k, j] = _total([P(k, j), *(p * u for column, u in rows[j] if (p := P(k, column)) is not None)])
        return memory[k, j]

    memory: dict[tuple[int, int], Tensor | None] = {}
    for i in reversed(range(size)):
        for j in reversed(range(i, size)):
            grown, first = growth(i, j), start.get((i, j))
            if grown is None and first is None:
                continue
            grown = like.new_zeros(like.shape) if grown is None else grown
            before[i, j], after[i, j] = accumulate(first, grown)
    return before, after


def _total(terms: list[Tensor | None]) -> Tensor | None:
    known = [term for term in terms if term is not None]
    return reduce(add, known) if known else None
