"""One update of TD3: two critics learn the lesser of their targets' words, the actor what the critics hold for best.

Ours beside it: the actor begins as a policy that can do something and is anchored to it, by a weight that sinks, for
the critics know nothing at first of what it does not do; until they know something they learn alone.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from knuckle.core.errors import RunError
from knuckle.policy.hindsight.hindsight_batch import Batch
from knuckle.policy.hindsight.hindsight_config import HindsightConfig
from knuckle.policy.hindsight.networks import Critic, TurnedActor
from knuckle.policy.hindsight.turned_scene import TurnedScene
from knuckle.policy.learned.actor_start import WarmStart

_NETWORKS = ("actor", "first", "target", "critics", "target_critics")
_LEAST_SCALE = 0.3


class Learner:
    """Actor, critics, and the targets that follow them; ``updates`` are done. All that is drawn follows ``seed``."""

    def __init__(self, scene: TurnedScene, start: WarmStart, config: HindsightConfig, seed: int) -> None:
        self.config, self.updates = config, 0
        dof = scene.symmetry.hand.dof
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = TurnedActor(scene, start)
            self.critics = nn.ModuleList(Critic(start.normaliser, dof, config.critic_width) for _ in range(2))
        self.target, self.first = copy.deepcopy(self.actor), copy.deepcopy(self.actor)
        self.target_critics = copy.deepcopy(self.critics)
        self._noise = torch.Generator().manual_seed(seed)
        self._critic_adam = torch.optim.Adam(self.critics.parameters(), lr=config.critic_rate, fused=True)
        self._actor_adam = torch.optim.Adam(self.actor.learned(), lr=config.actor_rate)

    @property
    def anchor(self) -> float:
        """The weight of staying with the policy that the actor began as."""
        config = self.config
        share = min(max((self.updates - config.critic_first) / config.anchor_updates, 0.0), 1.0)
        return float(config.anchor * (config.anchor_end / config.anchor) ** share)

    def update(self, batch: Batch) -> dict[str, float]:
        """Learn of ``batch``; the losses, NaN for the actor's where it stood. RunError where one is no number."""
        noise = self.config.target_noise * torch.randn(batch.actions.shape, generator=self._noise)
        wanted = self.wanted(batch, noise)
        says = [critic(batch.before, batch.actions) for critic in self.critics]
        loss = torch.stack([((said - wanted) ** 2).mean() for said in says]).sum()
        self._step(self._critic_adam, loss, list(self.critics.parameters()), self.config.critic_norm)
        self.updates += 1
        figures = {"critic_loss": float(loss.detach()), "worth": float(wanted.mean()), "actor_loss": math.nan}
        if self.updates > self.config.critic_first and self.updates % self.config.actor_every == 0:
            figures["actor_loss"] = self._improve(batch.before[: len(batch.before) // 2])
        self._follow()
        if not math.isfinite(figures["critic_loss"]) or math.isinf(figures["actor_loss"]):
            what = f"the loss is not finite after update {self.updates}"
            raise RunError(what, where="training", right="lower rates; the last checkpoint is whole")
        return figures

    def wanted(self, batch: Batch, noise: torch.Tensor) -> torch.Tensor:
        """What the critics are to say (n,): the reward, and unless all ended the discounted worth of what follows.

        The target's action is blurred by ``noise`` (n, dof), cut to ``target_clip``: TD3's smoothing.
        """
        config = self.config
        with torch.no_grad():
            blur = noise.clamp(-config.target_clip, config.target_clip)
            acts = (self.target(batch.after).clamp(-1.0, 1.0) + blur).clamp(-1.0, 1.0)
            worth = self._lesser(self.target_critics, batch.after, acts)
            return batch.reward + config.gamma * (1.0 - batch.ends) * worth

    def _improve(self, seen: torch.Tensor) -> float:
        """One step of the actor on observations (n, width); its loss."""
        means = self.actor(seen)
        acts = means.clamp(-1.0, 1.0)
        with torch.no_grad():
            began = self.first(seen).clamp(-1.0, 1.0)
        worth = self._lesser(self.critics, seen, acts)
        loss = (
            -worth.mean() / worth.detach().abs().mean().clamp(min=_LEAST_SCALE)
            + self.anchor * ((acts - began) ** 2).mean()
            # A mean beyond what can be done has no gradient of worth: it would stay there.
            + self.config.bound * (torch.relu(means.abs() - 1.0) ** 2).sum(dim=1).mean()
        )
        self._step(self._actor_adam, loss, self.actor.learned(), self.config.actor_norm)
        value = float(loss.detach())
        return value if math.isfinite(value) else math.inf

    def _lesser(self, critics: nn.ModuleList, seen: torch.Tensor, acts: torch.Tensor) -> torch.Tensor:
        one, other = (critic(seen, acts) for critic in critics)
        return torch.minimum(one, other)

    def _step(self, adam: torch.optim.Adam, loss: torch.Tensor, weights: list[nn.Parameter], norm: float) -> None:
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, norm)
        adam.step()

    def _follow(self) -> None:
        """Let the targets follow by a little."""
        with torch.no_grad():
            for leads, follows in ((self.critics, self.target_critics), (self.actor, self.target)):
                for weights, theirs in zip(leads.parameters(), follows.parameters(), strict=True):
                    theirs.lerp_(weights, self.config.average)

    def capture(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Copies of all weights, Adam's steps and the noise's state by name, and facts for JSON."""
        arrays: dict[str, Any] = {"noise": self._noise.get_state().numpy().copy()}
        for name in _NETWORKS:
            for key, value in getattr(self, name).state_dict().items():
                arrays[f"{name}.{key}"] = value.numpy().copy()
        for name, adam in self._adams().items():
            for k, state in adam.state_dict()["state"].items():
                arrays |= {f"{name}.{k}.{key}": value.numpy().copy() for key, value in state.items()}
        return arrays, {"updates": self.updates}

    def restore(self, arrays: dict[str, Any], facts: dict[str, Any]) -> None:
        """Go on where `capture` was called. KeyError, RuntimeError or ValueError where it does not fit."""
        for name in _NETWORKS:
            network = getattr(self, name)
            network.load_state_dict({key: torch.as_tensor(arrays[f"{name}.{key}"]) for key in network.state_dict()})
        for name, adam in self._adams().items():
            state: dict[int, dict[str, Any]] = {}
            for key, value in arrays.items():
                kind, _, rest = key.partition(".")
                if kind == name:
                    k, _, part = rest.partition(".")
                    state.setdefault(int(k), {})[part] = torch.as_tensor(value)
            adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
        self._noise.set_state(torch.as_tensor(arrays["noise"]))
        self.updates = int(facts["updates"])

    def _adams(self) -> dict[str, torch.optim.Adam]:
        return {"critic_adam": self._critic_adam, "actor_adam": self._actor_adam}
