"""HiSS: a low-level model over each chunk of samples, a high-level model over the chunks' features.

Bhirangi, Wang, Pattabiraman, Majidi, Gupta, Hellebrekers, Pinto, "Hierarchical State Space Models for Continuous
Sequence-to-Sequence Modeling", ICML 2024, arXiv 2402.10211, section 4: the input (B, L, D) is cut into chunks of k = 10
samples; the low-level model runs over every chunk from a fresh state and its last output is the chunk's feature; the
high-level model runs over the features, and a linear layer gives an output a chunk. `Flat` is what it is compared
with: one model over all samples, read at the last sample of each chunk, so that both have seen the same input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from knuckle.nn.stack import make_stack
from knuckle.sensors.hiss.model_name import ModelName
from knuckle.sensors.hiss.train_config import ModelConfig
from knuckle.sensors.hiss.trial import CHUNK


class Level(nn.Module):
    """Linear to the blocks' width, the blocks, linear to ``outputs``."""

    def __init__(self, inputs: int, outputs: int, family: str, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.blocks = make_stack(family, width, layers, dropout=dropout)
        self.decode = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, inputs) to (B, L, outputs)."""
        y: torch.Tensor = self.decode(self.blocks(self.embed(x)))
        return y

    def initial_state(self, batch: int = 1) -> Any:
        """The state of the blocks before any sample."""
        return self.blocks.initial_state(batch)

    def step(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """(B, inputs) to (B, outputs), with the state of the blocks."""
        y, state = self.blocks.step(self.embed(x), state)
        return self.decode(y), state


class Hiss(nn.Module):
    """The hierarchy. ``features`` in, ``outputs`` a chunk out."""

    def __init__(self, features: int, outputs: int, name: ModelName, sizes: ModelConfig) -> None:
        super().__init__()
        self.low = Level(features, sizes.high_width, name.low, sizes.width, sizes.layers, sizes.dropout)
        self.high = Level(sizes.high_width, outputs, name.high, sizes.high_width, sizes.high_layers, sizes.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, features), L a multiple of 10, to (B, L / 10, outputs); output k has seen samples up to 10 k + 9."""
        batch, length, width = x.shape
        chunks = x.reshape(batch * (length // CHUNK), CHUNK, width)
        feature = self.low.decode(self.low.blocks(self.low.embed(chunks))[:, -1])
        y: torch.Tensor = self.high(feature.reshape(batch, length // CHUNK, -1))
        return y


class Flat(nn.Module):
    """One level over all samples."""

    def __init__(self, features: int, outputs: int, name: ModelName, sizes: ModelConfig) -> None:
        super().__init__()
        self.low = Level(features, outputs, name.low, sizes.width, sizes.layers, sizes.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As `Hiss.forward`: samples 9, 19, ... of what the level gives."""
        y: torch.Tensor = self.low.decode(self.low.blocks(self.low.embed(x))[:, CHUNK - 1 :: CHUNK])
        return y


def build(features: int, outputs: int, name: ModelName, sizes: ModelConfig) -> Hiss | Flat:
    """The model of that name."""
    kind = Flat if name.flat else Hiss
    return kind(features, outputs, name, sizes)


def parameters_of(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
