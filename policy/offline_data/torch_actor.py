"""A policy at work from its `ActorWeights`: a plain torch module, deterministic or drawing. Needs extra ``learn``."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.actor_weights import ActorWeights, Floats, Layer

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU}


class Agent(Protocol):
    """What plays in an environment to be recorded."""

    def act(self, observations: NDArray[np.floating], rng: np.random.Generator | None = None) -> Floats:
        """Actions (n, A) for observations (n, O), inside the action space; without ``rng`` the likeliest ones."""


class TorchActor(nn.Module):
    """The actor of ``weights``. InputError from `act` for observations of another width."""

    def __init__(self, weights: ActorWeights) -> None:
        super().__init__()
        self.weights = weights
        mean, std = weights.observation_mean, weights.observation_std
        self._centre = torch.zeros(weights.observations) if mean is None else torch.tensor(mean)
        self._scale = torch.ones(weights.observations) if std is None else torch.tensor(std)
        self._low, self._high = torch.tensor(weights.low), torch.tensor(weights.high)
        hidden: list[nn.Module] = []
        for layer in weights.layers[:-1]:
            hidden += [_linear(layer), _ACTIVATIONS[weights.activation]()]
        self.hidden = nn.Sequential(*hidden)
        self.mean = _linear(weights.layers[-1])
        self.log_std: nn.Module | torch.Tensor | None = None
        if isinstance(weights.log_std, tuple):
            self.log_std = _linear(weights.log_std)
        elif weights.log_std is not None:
            self.log_std = torch.tensor(weights.log_std)

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Mean and standard deviation (n, A) before squash or bounds; None where the actor has no noise."""
        far, clip = self.weights.observation_clip, self.weights.mean_clip
        features = self.hidden(((observations - self._centre) / self._scale).clamp(-far, far))
        mean = self.mean(features).clamp(-clip, clip)
        if self.log_std is None:
            return mean, None
        log_std = self.log_std(features) if isinstance(self.log_std, nn.Module) else self.log_std.expand_as(mean)
        return mean, log_std.clamp(*self.weights.log_std_range).exp()

    def act(self, observations: NDArray[np.floating], rng: np.random.Generator | None = None) -> Floats:
        """Actions (n, A) for observations (n, O): drawn with ``rng``, the mean without."""
        wide = self.weights.observations
        if observations.ndim != 2 or observations.shape[1] != wide:
            raise InputError(f"observations {observations.shape}", where="actor", right=f"(n, {wide})")
        with torch.no_grad():
            drawn, std = self(torch.from_numpy(np.asarray(observations, dtype=np.float32)))
            if rng is not None and std is not None:
                noise = rng.standard_normal(drawn.shape, dtype=np.float32)
                drawn = drawn + std * torch.from_numpy(noise)
            if self.weights.squash:
                drawn = self._low + 0.5 * (torch.tanh(drawn) + 1.0) * (self._high - self._low)
            # Rounding alone may leave the bounds after tanh; a data set of such actions would be refused.
            return np.asarray(torch.clamp(drawn, self._low, self._high).numpy())


def _linear(layer: Layer) -> nn.Linear:
    weight, bias = layer
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight))
        linear.bias.copy_(torch.tensor(bias))
    return linear.requires_grad_(False)
