"""MambaTrack's motion predictor (arXiv 2408.09178) as a network to train: a bi-Mamba over the last ten boxes.

The paper gives no code and no sizes that could be verified; these are ours, small enough for a CPU. Different here:
the boxes are relative to the newest one, so that a map of one place and scale fits all; beside them the network sees
how the scene moved; a linear path goes beside the Mamba layers; and a scale is learned for each offset, by a Laplace
likelihood in place of smooth L1: the covariance.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from knuckle.nn.bidirectional import BidirectionalStack
from knuckle.perception.tracking.net_settings import MtpConfig
from knuckle.perception.tracking.track_features import CHANNELS, GAIN

SCALE_LOW, SCALE_HIGH = -6.0, 3.0


class MtpNet(nn.Module):
    """Features (N, q, 14) to offsets of the next box from the newest (N, 4), and the logarithms of their scales."""

    def __init__(self, config: MtpConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(CHANNELS, config.width)
        self.place = nn.Parameter(torch.zeros(config.history, config.width))
        size: dict[str, Any] = {"d_state": config.state, "d_conv": config.convolution, "expand": config.expand}
        self.stack = BidirectionalStack("mamba", config.width, config.layers, dropout=0.0, **size)
        self.inner = nn.Linear(2 * config.width, 2 * config.width)
        self.head = nn.Linear(2 * config.width, 8)
        self.straight = nn.Linear(CHANNELS * config.history, 4)
        with torch.no_grad():
            self.head.weight[:4].zero_()
            self.head.bias.zero_()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (N, 4), in sizes and logarithms of ratios, and logarithms of their scales (N, 4)."""
        x = self.stack(self.embed(features) + self.place)
        pooled = torch.cat([x[:, -1], x.mean(dim=1)], dim=1)
        out = self.head(nn.functional.silu(self.inner(pooled)))
        offset = (out[:, :4] + self.straight(features.flatten(1))) / GAIN
        return offset, (out[:, 4:] - 2.0).clamp(SCALE_LOW, SCALE_HIGH)

    def learn(self, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean negative logarithm of a Laplace likelihood of the true offsets ``target`` (N, 4), without its constant,
        and the offsets (N, 4)."""
        offset, scale = self(features)
        return torch.mean((offset - target).abs() * torch.exp(-scale) + scale), offset.detach()
