"""The two networks, a GRU over the history and an MLP that reads it at one glance, and what they say through a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from knuckle.motion.learned.agent_frame import CHANNELS
from knuckle.motion.learned.controls import Said
from knuckle.motion.learned.heads import Forecasts, Head
from knuckle.motion.learned.settings import MODES, NetConfig

VELOCITY_MPS, START_M = 0.3, 0.1
"""What the start's velocity is corrected by at first, and what its position is known to."""


class ForecastNet(nn.Module):
    """Histories of H rows in the bodies' frames to mixtures of six modes over T steps of ``dt_s``.

    Its last layer begins at zero: untrained it says constant accelerations, a mode each, of no correction.
    """

    def __init__(self, config: NetConfig, rows: int, steps: int, dt_s: float) -> None:
        super().__init__()
        self.config, self.rows, self.steps = config, rows, steps
        width = config.width
        self.gru = nn.GRU(CHANNELS, width, batch_first=True) if config.encoder == "gru" else None
        self.first = nn.Linear(CHANNELS * rows, width) if config.encoder == "mlp" else None
        self.inner = nn.Linear(width, width)
        self.last = nn.Linear(width, MODES * (steps * 4 + 1) + 4)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.head = Head(config, steps, dt_s)

    def forward(self, features: Tensor, speed: Tensor) -> Forecasts:
        """Features (N, H, 5) and speeds (N,) in m/s, as `read_agents` gives them, to forecasts in that frame."""
        if self.gru is not None:
            x = self.gru(features)[0][:, -1]
        else:
            assert self.first is not None
            x = nn.functional.silu(self.first(features.flatten(1)))
        out = self.last(nn.functional.silu(self.inner(x)))
        start, log_weights = out[:, :4], out[:, 4 : 4 + MODES]
        each = out[:, 4 + MODES :].reshape(-1, MODES, self.steps, 4)
        velocity = VELOCITY_MPS * start[:, :2] + torch.stack([speed, torch.zeros_like(speed)], -1)
        sigmas = start[:, 2:].clamp(-4.0, 3.0).exp()
        said = Said(each[..., :2], each[..., 2:], velocity, START_M * sigmas[:, 0], VELOCITY_MPS * sigmas[:, 1])
        forecasts: Forecasts = self.head(log_weights, said)
        return forecasts

    @property
    def parameters_count(self) -> int:
        """How many numbers are learned."""
        return sum(p.numel() for p in self.parameters())


def make_net(config: NetConfig, rows: int, steps: int, dt_s: float, seed: int) -> ForecastNet:
    """A network with weights that ``seed`` draws."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ForecastNet(config, rows, steps, dt_s)
