"""`choice` as a layer: a network of weights in, one of mean and deviation out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from knuckle.sensors.hiss.choice import Choice
from knuckle.sensors.hiss.model import Flat, Hiss
from knuckle.sensors.hiss.trial import CHUNK


class Chooser(nn.Module):
    """``network`` with its weights settled by ``choice``; ``prior`` are the logs of weights that training begins at."""

    scale: torch.Tensor
    offset: torch.Tensor
    prior: torch.Tensor

    def __init__(self, network: Hiss | Flat, choice: Choice, prior: Sequence[float] = ()) -> None:
        super().__init__()
        logs = torch.tensor(prior or [0.0] * (choice.outputs - 1), dtype=torch.float32)
        self.register_buffer("prior", torch.log_softmax(logs, dim=-1), persistent=False)
        self.network, self.columns = network, list(choice.columns)
        self.register_buffer("scale", torch.from_numpy(choice.scale).float(), persistent=False)
        self.register_buffer("offset", torch.from_numpy(choice.offset).float(), persistent=False)
        if prior:
            last = network.high if isinstance(network, Hiss) else network.low
            with torch.no_grad():
                last.decode.bias[: len(prior)] = torch.tensor(prior)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, features) to (B, L / 10, 2)."""
        return self.settle(self.network(x), x)

    def settle(self, raw: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Mean and log deviation (B, K, 2) from what the network gave for ``x``, (B, K, candidates + 2)."""
        read = x[:, CHUNK - 1 :: CHUNK, self.columns]
        read = torch.cat([torch.zeros_like(read[..., :1]), read], dim=-1)
        mean = (torch.softmax(raw[..., :-1], dim=-1) * (read * self.scale + self.offset)).sum(dim=-1)
        return torch.stack([mean, raw[..., -1]], dim=-1)

    def strayed(self, raw: torch.Tensor) -> torch.Tensor:
        """How far the weights are from those that training began at, (B, K): the Kullback-Leibler divergence."""
        logs = torch.log_softmax(raw[..., :-1], dim=-1)
        return (logs.exp() * (logs - self.prior)).sum(dim=-1)


def plain(network: Hiss | Flat | Chooser) -> Hiss | Flat:
    """What learns: the network without the choice."""
    return network.network if isinstance(network, Chooser) else network
