"""The O-DICE step as one would write it first: modules, three passes back by autograd, Adam tensor by tensor.

It is here to be timed beside `odice` and to check it: both give the same numbers. Global projection and twin or single
values, the orthogonal gradient alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from knuckle.policy.offline.learner import Batch
from knuckle.policy.offline.network import Mlp, Network, Weights
from knuckle.policy.offline.odice import LOG_STD, SMALLEST_SQUARE, Odice


def modules_of(form: Mlp, network: Network, dtype: torch.dtype) -> nn.Sequential:
    """The network as torch's modules, with a copy of its weights."""
    parts: list[nn.Module] = []
    for k, layer in enumerate(network.layers):
        linear = nn.Linear(form.sizes[k], form.sizes[k + 1], dtype=dtype)
        parts.append(linear)
        pairs = [(linear.weight, layer.weight), (linear.bias, layer.bias)]
        if layer.gain is not None and layer.shift is not None:
            norm = nn.LayerNorm(form.sizes[k + 1], dtype=dtype)
            parts.append(norm)
            pairs += [(norm.weight, layer.gain), (norm.bias, layer.shift)]
        if k + 1 < len(network.layers):
            parts.append(nn.ReLU())
        with torch.no_grad():
            for own, given in pairs:
                own.copy_(given)
    return nn.Sequential(*parts)


def module_arrays(modules: nn.Module) -> Tensor:
    """All weights of ``modules`` in their order, as one vector: that of `Weights.flat`."""
    return torch.cat([weight.detach().reshape(-1) for weight in modules.parameters()])


class PlainOdice:
    """The step of ``odice``, from copies of its weights."""

    def __init__(self, odice: Odice) -> None:
        self.config, dtype = odice.config, odice.v.dtype

        def modules(weights: Weights) -> list[nn.Sequential]:
            return [modules_of(weights.forms[name], network, dtype) for name, network in weights.networks.items()]

        self.v, self.v_bar = nn.ModuleList(modules(odice.v)), nn.ModuleList(modules(odice.v_bar))
        self.mean = modules(odice.policy.weights)[0]
        self.log_std = nn.Parameter(odice.policy.weights.views["log_std"].clone())
        rate, decay = self.config.rate, self.config.weight_decay
        self.v_adam = torch.optim.Adam(self.v.parameters(), lr=rate, foreach=False)
        moved = [*self.mean.parameters(), self.log_std]
        self.policy_adam = torch.optim.Adam(moved, lr=rate, weight_decay=decay, foreach=False)

    def update(self, batch: Batch) -> None:
        """One step on V, the target and the policy."""
        config, s, s_next = self.config, batch.observations, batch.next_observations
        lam, gamma = config.lam, config.gamma * batch.lasts
        with torch.no_grad():
            v_bar = torch.stack([v(s)[:, 0] for v in self.v_bar]).min(0).values
            v_bar_next = torch.stack([v(s_next)[:, 0] for v in self.v_bar]).min(0).values
        v, v_next = torch.stack([v(s)[:, 0] for v in self.v]), torch.stack([v(s_next)[:, 0] for v in self.v])
        d_f = batch.rewards + gamma * v_bar_next - v
        d_b = batch.rewards + gamma * v_next - v_bar
        weights = list(self.v.parameters())
        g_0 = torch.autograd.grad((1.0 - lam) * v.mean(), weights, retain_graph=True)
        g_f = torch.autograd.grad(lam * _dual(d_f).mean(), weights, retain_graph=True)
        g_b = torch.autograd.grad(lam * config.eta * _dual(d_b).mean(), weights)
        forward, backward = torch.cat([g.reshape(-1) for g in g_f]), torch.cat([g.reshape(-1) for g in g_b])
        c = (forward @ backward) / (forward @ forward).clamp(min=SMALLEST_SQUARE)
        for weight, zero, ahead, back in zip(weights, g_0, g_f, g_b, strict=True):
            weight.grad = zero + (1.0 - c) * ahead + back
        self.v_adam.step()
        with torch.no_grad():
            for target, value in zip(self.v_bar.parameters(), weights, strict=True):
                target.lerp_(value, config.tau)
        w = d_f.detach().clamp(0.0, config.weight_ceiling)
        spread = torch.diag(self.log_std.clamp(*LOG_STD).exp())
        density: Tensor = MultivariateNormal(self.mean(s), scale_tril=spread).log_prob(batch.actions)  # type: ignore[no-untyped-call]
        loss = -(w * density).mean()
        self.policy_adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.policy_adam.step()


def _dual(d: Tensor) -> Tensor:
    ratio = (0.5 * d + 1.0).clamp(min=0.0)
    return d * ratio - (ratio - 1.0) ** 2
