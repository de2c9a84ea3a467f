"""One small network for every finger: a policy that the hand's symmetry turns into itself. Needs extra ``learn``.

The observation is turned so that each finger in its turn stands in the first one's place (`HandSymmetry`); the same
network reads every turn and says what the finger in the first place does. The critic is the mean over the turns. What
is learned of one finger, and of a goal in one direction, is at once known of all G.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

from knuckle.sim.reorient.hand_symmetry import HandSymmetry


class TurnedStatistics(RunningMeanStd):
    """Mean and variance (width,) over every turn of what was seen: no finger is another one's lesser copy."""

    def __init__(self, symmetry: HandSymmetry) -> None:
        super().__init__(shape=(symmetry.build.width,))
        self.symmetry = symmetry

    def update(self, arr: NDArray[Any]) -> None:
        """Count observations (n, width) in."""
        super().update(self.symmetry.copies(arr).reshape(-1, self.symmetry.build.width))


class TurnedNormalize(VecNormalize):
    """Observations of ``env`` in every turn, normalised alike: (n, order * width), the scene as it is first."""

    def __init__(self, env: VecEnv, symmetry: HandSymmetry, **options: Any) -> None:
        super().__init__(env, **options)
        self.symmetry, statistics = symmetry, cast(Any, TurnedStatistics(symmetry))
        self.obs_rms = statistics
        shape = (symmetry.order * symmetry.build.width,)
        self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)

    def normalize_obs(self, obs: Any) -> NDArray[np.float32]:
        """Of observations (n, width) or (width,): (n, order * width) or (order * width,)."""
        rows = np.atleast_2d(np.asarray(obs))
        turned = self._normalize_obs(self.symmetry.copies(rows), cast(RunningMeanStd, self.obs_rms))
        flat = turned.reshape(len(rows), -1).astype(np.float32)
        return np.asarray(flat[0] if np.ndim(obs) == 1 else flat)


class TurnedNetworks(nn.Module):
    """Actor and critic over the turns; ``latent_dim_pi`` is the hand's dof: what comes out is the mean action."""

    def __init__(self, symmetry: HandSymmetry, actor: Sequence[int], critic: Sequence[int]) -> None:
        super().__init__()
        self.order, self.width, self.joints = symmetry.order, symmetry.build.width, symmetry.joints
        self.policy_net, self.value_net = _hidden(self.width, actor), _hidden(self.width, critic)
        self.mean = nn.Linear(actor[-1], self.joints)
        self.latent_dim_pi, self.latent_dim_vf = symmetry.hand.dof, critic[-1]
        self.turn_of = torch.as_tensor(np.argsort(symmetry.finger_of()))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean actions (n, dof) and what the value is read from (n, units)."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Mean actions (n, dof) for observations in every turn (n, order * width)."""
        turns = features.reshape(-1, self.order, self.width)
        of_first: torch.Tensor = self.mean(self.policy_net(turns))
        return of_first[:, self.turn_of].flatten(1)

    def forward_critic(self, features: torch.Tensor) -> torch.Tensor:
        """What the value is read from (n, units), the same under every turn."""
        units: torch.Tensor = self.value_net(features.reshape(-1, self.order, self.width))
        return units.mean(dim=1)


class SymmetricPolicy(ActorCriticPolicy):
    """Stable-Baselines3's actor and critic, made of `TurnedNetworks` for ``symmetry``."""

    def __init__(self, *args: Any, symmetry: HandSymmetry, **options: Any) -> None:
        self.symmetry = symmetry
        super().__init__(*args, **options)

    def _build_mlp_extractor(self) -> None:
        arch: Any = self.net_arch
        networks: Any = TurnedNetworks(self.symmetry, arch["pi"], arch["vf"])
        self.mlp_extractor = networks

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()
        self.init_weights(cast(Any, self.mlp_extractor).mean, gain=0.01)
        settings: dict[str, Any] = self.optimizer_kwargs
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **settings)  # type: ignore[call-arg]


def _hidden(width: int, units: Sequence[int]) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in zip((width, *units), units, strict=False):
        parts += [nn.Linear(before, after), nn.ELU()]
    return nn.Sequential(*parts)
