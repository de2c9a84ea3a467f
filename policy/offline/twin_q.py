"""Two action values and their slow copies: what IQL, TD3+BC and CQL share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knuckle.policy.offline.adam import Adam, put_weights, weight_arrays
from knuckle.policy.offline.learner import Arrays
from knuckle.policy.offline.network import Mlp, Part, Tape, Weights

HEADS = ("q0", "q1")


class TwinQ:
    """Q_0 and Q_1 over observation and action side by side (N, O + A), and Qbar, which follows them."""

    def __init__(self, sizes: tuple[int, ...], rng: np.random.Generator, rate: float, dtype: torch.dtype) -> None:
        self.q = Weights(dict.fromkeys(HEADS, Mlp(sizes)), {}, dtype)
        self.q.draw(rng)
        self.q_bar = self.q.copy()
        self.adam = Adam(self.q, rate)
        self._tapes = [self.q.networks[name].tape(1) for name in HEADS]
        self._tape_bar = self.q.networks["q0"].tape(1)

    def forward(self, x: Tensor, heads: Sequence[int] = (0, 1)) -> Tensor:
        """Q of each of ``heads`` (K, N), kept for `backward`."""
        return torch.stack([self._on(self.q, HEADS[k], self._tape(k, len(x)), x) for k in heads])

    def backward(self, outward: Tensor) -> None:
        """Fill Adam's gradient from the loss by each head's output (2, N)."""
        for k, name in enumerate(HEADS):
            part = Part(slice(None), None, self.adam.gradient.networks[name])
            self.q.networks[name].backward(self._tapes[k], outward[k][:, None], [part])

    def by_input(self, outward: Tensor, heads: Sequence[int] = (0, 1)) -> Tensor:
        """The loss by the input (N, O + A), from that by each head's output (K, N); nothing else is touched."""
        total = torch.zeros_like(self._tapes[heads[0]].delta[0][: outward.shape[1]])
        for k, by_head in zip(heads, outward, strict=True):
            back = self.q.networks[HEADS[k]].backward(self._tapes[k], by_head[:, None], [], inward=True)
            if back is not None:
                total += back
        return total

    def target(self, x: Tensor) -> Tensor:
        """The lower of both slow copies (N,)."""
        if self._tape_bar.rows < len(x):
            self._tape_bar = self.q.networks["q0"].tape(len(x))
        values = [self._on(self.q_bar, name, self._tape_bar, x).clone() for name in HEADS]
        return torch.minimum(values[0], values[1])

    def lower(self, x: Tensor) -> Tensor:
        """The lower of both (N,), with nothing kept."""
        return torch.minimum(self.q.networks["q0"](x)[:, 0], self.q.networks["q1"](x)[:, 0])

    def capture(self) -> Arrays:
        """Weights, slow copies and Adam's moments."""
        return self.adam.capture("q") | weight_arrays(self.q_bar, "q_bar")

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Put back what `capture` gave."""
        self.adam.restore("q", arrays)
        put_weights(self.q_bar, "q_bar", arrays)

    def _tape(self, k: int, rows: int) -> Tape:
        if self._tapes[k].rows < rows:
            self._tapes[k] = self.q.networks[HEADS[k]].tape(rows)
        return self._tapes[k]

    @staticmethod
    def _on(weights: Weights, name: str, tape: Tape, x: Tensor) -> Tensor:
        return weights.networks[name].forward(x, tape)[:, 0]
