"""MambaTrack's motion predictor (arXiv 2408.09178) as a network to train: a bi-Mamba over the last ten boxes.

The paper gives no code and no sizes that could be verified; these are ours, small enough for a CPU. Different here:
the boxes are relative to the newest one, so that a map of one place and scale fits all; a linear path goes beside the
Mamba layers; and a scale is learned for each offset, by a Laplace likelihood in place of smooth L1: the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from knuckle.core.config import setting
from knuckle.nn.mamba import Mamba
from knuckle.perception.tracking.track_features import CHANNELS, GAIN

SCALE_LOW, SCALE_HIGH = -6.0, 3.0


@dataclass(frozen=True)
class MtpConfig:
    """The size of the network."""

    history: int = setting(10, "boxes that it looks back on (q)", low=2, high=64)
    width: int = setting(32, "channels (d)", low=4, high=512)
    layers: int = setting(2, "bi-Mamba layers (L)", low=1, high=12)
    state: int = setting(8, "states of each channel", low=1, high=64)
    expand: int = setting(2, "inner channels for each channel", low=1, high=4)
    convolution: int = setting(3, "frames of the causal filter", low=1, high=8)


class BiMamba(nn.Module):
    """A residual layer of two Mambas, one of which reads backwards."""

    def __init__(self, config: MtpConfig) -> None:
        super().__init__()
        size = (config.width, config.state, config.convolution, config.expand)
        self.norm = nn.LayerNorm(config.width)
        self.forwards, self.backwards = Mamba(*size), Mamba(*size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, d) to the same shape."""
        y = self.norm(x)
        back: Tensor = self.backwards(y.flip(1)).flip(1)
        out: Tensor = x + self.forwards(y) + back
        return out


class MtpNet(nn.Module):
    """Features (N, q, 10) to offsets of the next box from the newest (N, 4), and the logarithms of their scales."""

    def __init__(self, config: MtpConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(CHANNELS, config.width)
        self.place = nn.Parameter(torch.zeros(config.history, config.width))
        self.layers = nn.ModuleList([BiMamba(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(2 * config.width)
        self.inner = nn.Linear(2 * config.width, 2 * config.width)
        self.head = nn.Linear(2 * config.width, 8)
        self.straight = nn.Linear(CHANNELS * config.history, 4)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.straight.weight.zero_()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (N, 4), in sizes and logarithms of ratios, and logarithms of their scales (N, 4)."""
        x = self.embed(features) + self.place
        for layer in self.layers:
            x = layer(x)
        pooled = self.norm(torch.cat([x[:, -1], x.mean(dim=1)], dim=1))
        out = self.head(nn.functional.silu(self.inner(pooled)))
        offset = (out[:, :4] + self.straight(features.flatten(1))) / GAIN
        return offset, (out[:, 4:] - 2.0).clamp(SCALE_LOW, SCALE_HIGH)

    def learn(self, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean negative logarithm of a Laplace likelihood of the true offsets ``target`` (N, 4), without its constant,
        and the offsets (N, 4)."""
        offset, scale = self(features)
        return torch.mean((offset - target).abs() * torch.exp(-scale) + scale), offset.detach()
