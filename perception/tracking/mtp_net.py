"""MambaTrack's motion predictor (arXiv 2408.09178) as a network to train: a bi-Mamba over the last ten boxes.

The paper gives no code and no sizes that could be verified; these are ours, small enough for a CPU. Different here:
the boxes are relative to the newest one, so that a map of one place and scale fits all; a linear path goes beside the
Mamba layers; and a scale is learned for each offset, by a Laplace likelihood in place of smooth L1: the covariance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from knuckle.nn.mamba import Mamba
from knuckle.perception.tracking.net_settings import MtpConfig
from knuckle.perception.tracking.track_features import CHANNELS, GAIN

SCALE_LOW, SCALE_HIGH = -6.0, 3.0


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
            self.head.weight[:4].zero_()
            self.head.bias.zero_()

    def begin_linear(self, features: Tensor, target: Tensor, penalty: float = 3.0) -> None:
        """Set the linear path to the least squares of ``target`` (N, 4) from ``features`` (N, q, 10): the Mamba layers
        then have only to learn what no linear map can say."""
        x = torch.cat([features.flatten(1), torch.ones(len(features), 1)], dim=1).double()
        gram = x.T @ x + penalty * torch.eye(x.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(gram, x.T @ (GAIN * target.double())).float()
        with torch.no_grad():
            self.straight.weight.copy_(solution[:-1].T)
            self.straight.bias.copy_(solution[-1])

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
