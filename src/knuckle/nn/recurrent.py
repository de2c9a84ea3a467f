"""LSTM and GRU as sequence layers: torch's own over a sequence, the same equations for one sample."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knuckle.nn.layer import SequenceLayer


class LstmState(NamedTuple):
    """The output and the cell of an LSTM, each (batch, width)."""

    h: Tensor
    c: Tensor


class GruState(NamedTuple):
    """The output of a GRU, (batch, width)."""

    h: Tensor


class Lstm(SequenceLayer):
    """One LSTM layer of ``width`` units; its parameters are those of ``torch.nn.LSTM`` under ``rnn``."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.rnn = nn.LSTM(width, width, batch_first=True)

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> LstmState:
        """The state before any sample, zero."""
        h, c = (self._zeros(batch, self.width, dtype=dtype, device=device) for _ in range(2))
        return LstmState(h, c)

    def _sequence(self, x: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        before = None if state is None else (state.h[None], state.c[None])
        y, (h, c) = self.rnn(x, before)
        return y, LstmState(h[0], c[0])

    def _sample(self, x: Tensor, state: LstmState) -> tuple[Tensor, LstmState]:
        of_x, of_h = _gates(self.rnn, x, state.h)
        i, f, g, o = (of_x + of_h).chunk(4, dim=1)
        c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, LstmState(h, c)


class Gru(SequenceLayer):
    """One GRU layer of ``width`` units; its parameters are those of ``torch.nn.GRU`` under ``rnn``."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.rnn = nn.GRU(width, width, batch_first=True)

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> GruState:
        """The state before any sample, zero."""
        return GruState(self._zeros(batch, self.width, dtype=dtype, device=device))

    def _sequence(self, x: Tensor, state: GruState | None) -> tuple[Tensor, GruState]:
        y, h = self.rnn(x, None if state is None else state.h[None])
        return y, GruState(h[0])

    def _sample(self, x: Tensor, state: GruState) -> tuple[Tensor, GruState]:
        of_x, of_h = _gates(self.rnn, x, state.h)
        r, z, n = of_x.chunk(3, dim=1)
        hr, hz, hn = of_h.chunk(3, dim=1)
        z = torch.sigmoid(z + hz)
        h = (1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * state.h
        return h, GruState(h)


def _gates(rnn: nn.RNNBase, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """What the gates read of the sample and of the last output, before their nonlinearity."""
    (weights,) = rnn.all_weights
    w_ih, w_hh, b_ih, b_hh = weights
    return F.linear(x, w_ih, b_ih), F.linear(h, w_hh, b_hh)
