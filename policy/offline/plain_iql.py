"""The IQL step as one would write it first: modules, three losses, three passes back by autograd, Adam as torch has it.

It is here to be timed beside `iql` and to check it: both give the same numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from knuckle.policy.offline.iql import WEIGHT_CEILING, Iql
from knuckle.policy.offline.learner import Batch
from knuckle.policy.offline.network import Weights
from knuckle.policy.offline.plain_odice import modules_of


class PlainIql:
    """The step of ``iql``, from copies of its weights; Gaussian policy."""

    def __init__(self, iql: Iql) -> None:
        self.config, dtype = iql.config, iql.v.dtype

        def modules(weights: Weights) -> list[nn.Sequential]:
            return [modules_of(weights.forms[name], network, dtype) for name, network in weights.networks.items()]

        self.q, self.q_bar = nn.ModuleList(modules(iql.q.q)), nn.ModuleList(modules(iql.q.q_bar))
        self.v, self.mean = modules(iql.v)[0], modules(iql.policy.weights)[0]
        self.log_std = nn.Parameter(iql.policy.weights.views["log_std"].clone())
        rate = self.config.rate
        self.q_adam = torch.optim.Adam(self.q.parameters(), lr=rate)
        self.v_adam = torch.optim.Adam(self.v.parameters(), lr=rate)
        self.policy_adam = torch.optim.Adam([*self.mean.parameters(), self.log_std], lr=rate)

    def update(self, batch: Batch) -> None:
        """One step on V, Q, the target and the policy; the policy's rate stays."""
        config, s = self.config, batch.observations
        x = torch.cat([s, batch.actions], dim=1)
        with torch.no_grad():
            v_next = self.v(batch.next_observations)[:, 0]
            low = torch.minimum(self.q_bar[0](x), self.q_bar[1](x))[:, 0]
        u = low - self.v(s)[:, 0]
        loss = (torch.abs(config.expectile - (u < 0.0).to(u.dtype)) * u**2).mean()
        _step(self.v_adam, loss)
        y = batch.rewards + config.gamma * batch.lasts * v_next
        loss = torch.stack([nn.functional.mse_loss(q(x)[:, 0], y) for q in self.q]).mean()
        _step(self.q_adam, loss)
        with torch.no_grad():
            for target, value in zip(self.q_bar.parameters(), self.q.parameters(), strict=True):
                target.lerp_(value, config.tau)
        w = torch.exp((config.beta * u.detach()).clamp(max=math.log(WEIGHT_CEILING)))
        spread = self.log_std.clamp(-20.0, 2.0).exp()
        density: Tensor = Normal(torch.tanh(self.mean(s)), spread).log_prob(batch.actions)  # type: ignore[no-untyped-call]
        _step(self.policy_adam, -(w * density.sum(1)).mean())


def _step(adam: torch.optim.Adam, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()
