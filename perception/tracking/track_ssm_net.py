"""TrackSSM (arXiv 2409.00487) as a network to train: a Mamba encoder, and a decoder that flows from box to box.

The flow's step sizes and maps come from the encoded history, its input from the box reached so far (equations of the
decoder's Flow-SSM), and every layer learns its own step on the straight way from the newest box to the next: the
step-by-step linear training. Differences from the published code: 64 channels and 2 + 3 layers in place of 256 and
6 + 6, which train on a CPU; ten boxes of history in place of five, as noise has to be averaged out; boxes relative to
the newest one in place of shares of the image, so no sigmoid at the end; how the scene moved beside them; and a linear
path, an equal share of which every step of the flow goes along.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from knuckle.nn.mamba import Mamba, step_size_bias
from knuckle.perception.tracking.net_settings import TrackSsmConfig
from knuckle.perception.tracking.track_features import CHANNELS, GAIN

BETA = 0.05
"""Where smooth L1 turns from square to straight, in offsets: the size of the detector's noise."""


class FlowStep(nn.Module):
    """One layer of the decoder: from the offset reached so far to the next one, with a state carried along."""

    def __init__(self, config: TrackSsmConfig) -> None:
        super().__init__()
        d, s = config.width, config.state
        self.rank, self.state = config.rank, s
        self.embed, self.enter = nn.Linear(4 * BANDS * 2, d), nn.Linear(d, 2 * d, bias=False)
        self.flow = nn.Linear(d, config.rank + 2 * s, bias=False)
        self.size = nn.Linear(config.rank, d)
        with torch.no_grad():
            self.size.bias.copy_(step_size_bias(torch.rand(d), 1e-3, 0.1, 1e-4))
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, s + 1.0)).repeat(d, 1))
        self.D = nn.Parameter(torch.ones(d))
        self.wide, self.narrow = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 4)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()

    def forward(self, x: Tensor, h: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Offset (N, 4) and state (N, d, s) after the step, from those before it and the flow feature (N, d)."""
        u, z = self.enter(self.embed(sines(x))).chunk(2, dim=1)
        u = F.silu(u)
        rank, b, c = self.flow(flow).split([self.rank, self.state, self.state], dim=1)
        dt = F.softplus(self.size(rank))
        decay = torch.exp(-dt[:, :, None] * torch.exp(self.A_log))
        h = decay * h + (dt * u)[:, :, None] * b[:, None, :]
        y = ((h * c[:, None, :]).sum(dim=2) + self.D * u) * F.silu(z)
        y = self.norm(y + self.narrow(F.relu(self.wide(y))))
        return x + 0.1 * self.head(y), h


BANDS = 6
LOWEST = 0.5


def sines(x: Tensor) -> Tensor:
    """Sines and cosines (N, 48) of offsets (N, 4), in six octaves from half a turn for each size."""
    turns = 2.0 * math.pi * LOWEST * x[:, :, None] * 2.0 ** torch.arange(BANDS, device=x.device, dtype=x.dtype)
    return torch.cat([torch.sin(turns), torch.cos(turns)], dim=2).flatten(1)


class TrackSsmNet(nn.Module):
    """Features (N, history, 14) to the offsets of the next box after every step of the flow."""

    def __init__(self, config: TrackSsmConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(CHANNELS, config.width, bias=False)
        size = (config.width, config.state, 4, 1)
        self.norms = nn.ModuleList([nn.LayerNorm(config.width) for _ in range(config.encoder)])
        self.encoder = nn.ModuleList([Mamba(*size) for _ in range(config.encoder)])
        self.last = nn.LayerNorm(config.width)
        self.decoder = nn.ModuleList([FlowStep(config) for _ in range(config.decoder)])
        self.straight = nn.Linear(CHANNELS * config.history, 4)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Offsets (N, 4) after each step; gradients do not pass from one step to the step before."""
        features = features[:, -self.config.history :]
        x = self.embed(features)
        share = self.straight(features.flatten(1)) / (GAIN * len(self.decoder))
        for norm, layer in zip(self.norms, self.encoder, strict=True):
            x = x + layer(norm(x))
        flow = self.last(x[:, -1])
        offset = torch.zeros(len(features), 4)
        h = torch.zeros(len(features), self.config.width, self.config.state)
        steps = []
        for layer in self.decoder:
            offset, h = layer(offset.detach(), h.detach(), flow)
            offset = offset + share
            steps.append(offset)
        return steps

    def learn(self, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum over the steps of smooth L1 to their places on the straight way to the true offsets ``target`` (N, 4),
        and the offsets (N, 4) after the last."""
        steps = self(features)
        ways = [F.smooth_l1_loss(x, target * (k + 1) / len(steps), beta=BETA) for k, x in enumerate(steps)]
        return torch.stack(ways).sum(), steps[-1].detach()
