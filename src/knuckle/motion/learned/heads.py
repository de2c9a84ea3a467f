"""What a network's outputs are taken for: F1 to F4 with their covariance, or one of the two rivals.

The rivals are learned variance, where a network says the mean position and the variance of every step itself, and
deterministic kinematics (Deep Kinematic Models, Cui et al. 2019, arXiv 1908.00219), where the mean is the bicycle's and
the variances are said by the network, with nothing carried from step to step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from knuckle.motion.bicycle import Bicycle
from knuckle.motion.forecast import Form
from knuckle.motion.formulations import make_formulation
from knuckle.motion.learned.controls import ANCHORS, LOG_HIGH, LOG_LOW, Said, controls_of
from knuckle.motion.learned.settings import DETERMINISTIC, KINEMATIC, LEARNED, MODES, NetConfig
from knuckle.motion.mixture import Mixture

LENGTH_M = Bicycle().length_m
FLOOR_M = 0.02


@dataclass(frozen=True)
class Forecasts:
    """A mixture (N, K, T) in the bodies' frames, and the motions (N, K, T, 2) in m that its modes mean."""

    mixture: Mixture
    motions: Tensor


class Head(nn.Module):
    """Turns what a network says into a mixture; ``form`` may be changed after training, as it has no weights.

    Its own numbers are said of all bodies alike: weights of the modes, and spreads, a rival's for each step along and
    across, a formulation's for the two controls of every step.
    """

    def __init__(self, config: NetConfig, steps: int, dt_s: float) -> None:
        super().__init__()
        self.name, self.form, self.dt_s = config.head, cast(Form, config.form), dt_s
        own = 1 if config.head in KINEMATIC else steps
        self.log_spread = nn.Parameter(torch.zeros(own, 2))
        self.log_weights = nn.Parameter(torch.zeros(MODES))
        self.log_start = nn.Parameter(torch.zeros(2))
        self.log_noise = nn.Parameter(torch.tensor(0.1).log())

    def forward(self, log_weights: Tensor, said: Said) -> Forecasts:
        """The mixture of all modes, with the noise that positions are told with on its diagonals."""
        position, velocity = self.log_start.exp()
        said = replace(
            said,
            log_spread=said.log_spread + self.log_spread,
            position_sigma=said.position_sigma * position,
            velocity_sigma=said.velocity_sigma * velocity,
        )
        if self.name == LEARNED:
            mean, covariance = self._straight(said), self._free(said)
            motions = mean
        elif self.name == DETERMINISTIC:
            given = controls_of("bicycle", said, self.dt_s, LENGTH_M)
            mean = motions = Bicycle().motion(given.start, given.mean, self.dt_s)[..., :2]
            covariance = self._free(said)
        else:
            given = controls_of(self.name, said, self.dt_s, LENGTH_M)
            start_covariance = _diagonal(given.start_variance)
            forecast = make_formulation(self.name).forecast(
                given.start, given.mean, given.variance, self.dt_s, form=self.form, start_covariance=start_covariance
            )
            mean, covariance, motions = forecast.mean, forecast.covariance, forecast.states[..., :2]
        noise = self.log_noise.exp() ** 2 + FLOOR_M**2
        covariance = covariance + noise * torch.eye(2, dtype=covariance.dtype, device=covariance.device)
        return Forecasts(Mixture(log_weights + self.log_weights, mean, covariance), motions)

    def _straight(self, said: Said) -> Tensor:
        """Constant velocity, the mode's anchor, and what the network adds to each position, in m."""
        K, T = said.mean.shape[1:3]
        t = self.dt_s * torch.arange(1, T + 1, dtype=said.mean.dtype, device=said.mean.device)[:, None]
        anchors = said.mean.new_tensor(ANCHORS)[:K, None, :]
        return said.velocity[:, None, None, :] * t + anchors * t**2 / 2 + said.mean

    def _free(self, said: Said) -> Tensor:
        """Variances along and across as the network says them."""
        sigma = said.log_spread.clamp(LOG_LOW, LOG_HIGH).exp()
        return _diagonal(sigma**2)


def _diagonal(variance: Tensor) -> Tensor:
    """(..., n) as diagonal matrices (..., n, n); torch's own function has no counterpart in ONNX."""
    return variance[..., None] * torch.eye(variance.shape[-1], dtype=variance.dtype, device=variance.device)
