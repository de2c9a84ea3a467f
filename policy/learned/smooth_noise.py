"""Exploring with noise that lasts: what one step tries, the next goes on with. Needs extra ``learn``.

A hand that is told something new each twelfth of a second trembles about its posture and goes nowhere. Here the noise
of a step is correlated with that of the step before; its marginal is still the policy's Gaussian, which is all that
PPO's ratio asks of it (Hollenstein, Martius and Piater, "Colored Noise in PPO", 2024; there by its spectrum, here as an
autoregressive process of first order).
"""

from __future__ import annotations

import math

import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution


class SmoothGaussian(DiagGaussianDistribution):
    """A diagonal Gaussian (n, dof) whose samples, one after the other, have noise with this ``correlation``."""

    def __init__(self, action_dim: int, correlation: float) -> None:
        super().__init__(action_dim)
        self.correlation = correlation
        self._last: torch.Tensor | None = None

    def begin(self) -> None:
        """Forget the noise of the step before."""
        self._last = None

    def sample(self) -> torch.Tensor:
        """An action for each row; row k goes on with the noise of row k the time before."""
        mean, fresh = self.distribution.mean, torch.randn_like(self.distribution.mean)
        if self._last is not None and self._last.shape == fresh.shape:
            fresh = self.correlation * self._last + math.sqrt(1.0 - self.correlation**2) * fresh
        self._last = fresh
        return torch.as_tensor(mean + self.distribution.stddev * fresh)
