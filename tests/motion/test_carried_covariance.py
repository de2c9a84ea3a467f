from __future__ import annotations

import pytest
import torch

from knuckle.motion.carried_covariance import carry, entries

SIZE, STEPS = 5, 9


@pytest.mark.parametrize("known", [True, False])
def test_running_sums_are_the_matrix_recursion(known: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(3, STEPS, SIZE, SIZE, generator=generator, dtype=torch.float64)
    F = torch.eye(SIZE, dtype=torch.float64) + dense.triu(1)
    N = dense @ dense.mT
    P = torch.zeros(3, SIZE, SIZE, dtype=torch.float64) if known else N[:, 0]
    U = {(i, j): dense[..., i, j] for i in range(SIZE) for j in range(i + 1, SIZE)}
    before, after = carry(SIZE, {} if known else entries(P), U, entries(N), dense[..., 0, 0])
    for k in range(STEPS):
        for (i, j), value in before.items():
            torch.testing.assert_close(value[:, k], P[:, i, j], rtol=1e-9, atol=1e-9)
        P = F[:, k] @ P @ F[:, k].mT + N[:, k]
        for (i, j), value in after.items():
            torch.testing.assert_close(value[:, k], P[:, i, j], rtol=1e-9, atol=1e-9)
    assert len(after) == SIZE * (SIZE + 1) // 2


def test_entries_that_nothing_reaches_are_left_out() -> None:
    one = torch.ones(4, dtype=torch.float64)
    _, after = carry(4, {}, {(0, 2): one, (1, 3): one}, {(2, 2): one, (3, 3): one}, one)
    assert set(after) == {(0, 0), (0, 2), (2, 2), (1, 1), (1, 3), (3, 3)}
    assert after[2, 2].tolist() == [1, 2, 3, 4] and after[0, 0].tolist() == [0, 1, 5, 14]
