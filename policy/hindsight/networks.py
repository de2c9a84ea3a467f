"""The networks: an actor that is one network for every finger, and a critic with normalised layers. Needs ``learn``.

The actor is `TurnedNetworks`, as PPO's is, so that a policy of either can begin the other and is deployed alike. The
critic reads the scene as it is; that a turned scene is worth the same it learns of transitions that are turned. Layer
norms keep what it says of actions that nobody tried within bounds (Ball et al., "Efficient Online Reinforcement
Learning with Offline Data", 2023).
"""

from __future__ import annotations

import torch
from torch import nn

from knuckle.policy.hindsight.turned_scene import TurnedScene
from knuckle.policy.learned.actor_start import WarmStart
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.policy.learned.symmetric_policy import TurnedNetworks


class Normalised(nn.Module):
    """`Normaliser` for tensors (..., width). It has nothing to learn."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, normaliser: Normaliser) -> None:
        super().__init__()
        self.clip = normaliser.clip
        self.register_buffer("mean", torch.as_tensor(normaliser.mean, dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(normaliser.std, dtype=torch.float32))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """The same."""
        return ((rows - self.mean) / self.std).clamp(-self.clip, self.clip)


class TurnedActor(nn.Module):
    """Mean actions (n, dof), not yet cut, of observations (n, width); begins as the policy of ``start``."""

    def __init__(self, scene: TurnedScene, start: WarmStart) -> None:
        super().__init__()
        self.scene, self.normalised = scene, Normalised(start.normaliser)
        self.networks = TurnedNetworks(scene.symmetry, start.hidden, [1])
        with torch.no_grad():
            for part, (weight, bias) in zip(self.linear(), start.layers, strict=True):
                part.weight.copy_(torch.as_tensor(weight))
                part.bias.copy_(torch.as_tensor(bias))

    def linear(self) -> list[nn.Linear]:
        """Its layers, the first one first."""
        return [*(part for part in self.networks.policy_net if isinstance(part, nn.Linear)), self.networks.mean]

    def learned(self) -> list[nn.Parameter]:
        """What is learned; the critic that `TurnedNetworks` brings is not."""
        return [weights for part in self.linear() for weights in part.parameters()]

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Mean actions (n, dof) for observations (n, width)."""
        return self.networks.forward_actor(self.normalised(self.scene.every(rows)).flatten(1))


class Critic(nn.Module):
    """What (n,) actions (n, dof) after observations (n, width) are worth; ``units`` in each of two hidden layers."""

    def __init__(self, normaliser: Normaliser, dof: int, units: int) -> None:
        super().__init__()
        self.normalised = Normalised(normaliser)
        self.layers = nn.Sequential(
            nn.Linear(len(normaliser.mean) + dof, units),
            nn.LayerNorm(units),
            nn.SiLU(),
            nn.Linear(units, units),
            nn.LayerNorm(units),
            nn.SiLU(),
            nn.Linear(units, 1),
        )

    def forward(self, rows: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Worths (n,)."""
        worth: torch.Tensor = self.layers(torch.cat([self.normalised(rows), actions], dim=1))
        return worth[:, 0]
