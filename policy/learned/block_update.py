"""PPO's update as Stable-Baselines3 does it, from the same samples in the same order, with gradients by hand in blocks.

The loss, the normalised advantages, the cut of the gradients' norm and Adam are theirs (`stable_baselines3.PPO.train`);
so are the figures, which are taken once for a minibatch. Needs extra ``learn``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from knuckle.policy.learned.elu_layers import EluLayers, linear_parts
from knuckle.policy.learned.symmetric_policy import TurnedNetworks

BLOCK_ROWS = 1536
"""Rows of a network's input at once: fewer cost more calls, more leave the cache: flat between 700 and 3,000."""


@dataclass(frozen=True)
class Loss:
    """Of what the loss is made: ``clip`` of the ratio, coefficients of the ``value`` loss and of the ``entropy``, and
    the ``gradient_norm`` at which gradients are cut."""

    clip: float
    value: float
    entropy: float
    gradient_norm: float


class BlockUpdate:
    """Updates ``policy``, an actor and a critic with ELU and a Gaussian of one deviation a joint, whether one network
    for the whole hand or `TurnedNetworks`."""

    def __init__(self, policy: ActorCriticPolicy, block_rows: int = BLOCK_ROWS) -> None:
        self.policy, networks = policy, cast(Any, policy.mlp_extractor)
        turned = isinstance(networks, TurnedNetworks)
        self.order: int = networks.order if turned else 1
        self.samples = max(1, block_rows // self.order)
        rows = self.samples * self.order
        self.actor = EluLayers(linear_parts(networks.policy_net), rows)
        self.critic = EluLayers(linear_parts(networks.value_net), rows)
        self.mean = cast(nn.Linear, networks.mean if turned else policy.action_net)
        self.value = policy.value_net
        joints = self.mean.out_features
        fingers = torch.argsort(networks.turn_of) if turned else torch.zeros(1, dtype=torch.long)
        self.columns = (fingers[:, None] * joints + torch.arange(joints)).flatten()
        """Which joint each number is that the turns say, one turn after the other."""
        self.width = self.actor.linear[0].in_features
        self._inputs = self.actor.linear[0].weight.new_empty(self.samples, self.order * self.width).detach()
        self.heads = [torch.zeros_like(w) for w in (*self.mean.parameters(), *self.value.parameters())]
        self.log_std = torch.zeros_like(cast(torch.Tensor, policy.log_std))

    def train(
        self,
        buffer: RolloutBuffer,
        epochs: int,
        batch: int,
        loss: Loss,
        shuffle: Callable[[int], NDArray[np.int64]],
    ) -> dict[str, float]:
        """``epochs`` passes over ``buffer`` in minibatches of ``batch``, each in the order of a permutation that
        ``shuffle`` draws; means of the figures by Stable-Baselines3's names, of the last pass for ``approx_kl``."""
        seen, actions, old, advantages, returns = _flat(buffer)
        order_of = _order(buffer)
        figures: list[list[float]] = []
        for _ in range(epochs):
            order = torch.from_numpy(order_of[shuffle(len(order_of))])
            for begin in range(0, len(order), batch):
                rows = order[begin : begin + batch]
                gains = advantages[rows]
                if len(rows) > 1:
                    gains = (gains - gains.mean()) / (gains.std() + 1e-8)
                figures.append(self.minibatch(seen, actions, rows, old[rows], gains, returns[rows], loss))
        names = ("policy_gradient_loss", "value_loss", "entropy_loss", "clip_fraction")
        told = {name: float(value) for name, value in zip(names, np.mean(figures, axis=0)[:4], strict=True)}
        last = figures[-1]
        told["approx_kl"] = float(np.mean([row[4] for row in figures[-len(figures) // epochs :]]))
        return told | {"loss": last[0] + loss.entropy * last[2] + loss.value * last[1]}

    def minibatch(
        self,
        seen: torch.Tensor,
        actions: torch.Tensor,
        rows: torch.Tensor,
        old: torch.Tensor,
        gains: torch.Tensor,
        returns: torch.Tensor,
        loss: Loss,
    ) -> list[float]:
        """One step of Adam by ``rows`` (n,) of ``seen`` and ``actions``, whose log-likelihoods were ``old``, with
        normalised advantages ``gains`` and ``returns``, all (n,).

        Losses of policy, value and entropy, the share of clipped ratios, and the approximate KL.
        """
        log_std = cast(torch.Tensor, self.policy.log_std).detach()[self.columns]
        change, errors, n = torch.empty_like(old), torch.empty_like(old), len(rows)
        wide = torch.zeros_like(log_std)
        self._clear()
        for begin in range(0, n, self.samples):
            part = slice(begin, min(begin + self.samples, n))
            chosen = rows[part]
            room = self._inputs[: len(chosen)]
            inputs = torch.index_select(seen, 0, chosen, out=room).view(-1, self.width)
            tried = actions[chosen][:, self.columns]
            self._actor(inputs, tried, log_std, old[part], gains[part], loss.clip, n, change[part], wide)
            self._critic(inputs, returns[part], 2.0 * loss.value / n, errors[part])
        self.log_std[self.columns] = wide - loss.entropy
        self._step(loss.gradient_norm)
        ratio = change.exp()
        gained = torch.minimum(gains * ratio, gains * ratio.clamp(1.0 - loss.clip, 1.0 + loss.clip)).mean()
        entropy = log_std.sum() + len(log_std) * (0.5 + 0.5 * math.log(2.0 * math.pi))
        clipped = ((ratio - 1.0).abs() > loss.clip).to(ratio.dtype).mean()
        kl = ((ratio - 1.0) - change).mean()
        return cast(list[float], torch.stack((-gained, errors.square().mean(), -entropy, clipped, kl)).tolist())

    def _actor(
        self,
        inputs: torch.Tensor,
        tried: torch.Tensor,
        log_std: torch.Tensor,
        old: torch.Tensor,
        gains: torch.Tensor,
        clip: float,
        n: int,
        change: torch.Tensor,
        wide: torch.Tensor,
    ) -> None:
        """Gradients of a block of ``n`` samples in all; ``change`` is given its log-ratios, ``wide`` the gradient of
        ``log_std`` on top of what it has."""
        units, deviation = self.actor.forward(inputs), log_std.exp()
        weight, bias = self.mean.weight.detach(), self.mean.bias.detach()
        apart = (tried - torch.addmm(bias, units, weight.t()).view_as(tried)) / deviation
        squares = apart.square()
        constant = float(log_std.sum()) + 0.5 * len(log_std) * math.log(2.0 * math.pi)
        torch.sub(squares.sum(1) * -0.5 - constant, old, out=change)
        ratio = change.exp()
        gained = gains * ratio
        # Of two equal losses torch.min leads half of the gradient to each: the same as all of it to the first.
        followed = gained <= gains * ratio.clamp(1.0 - clip, 1.0 + clip)
        pull = torch.where(followed, gained, 0.0).mul_(-1.0 / n)[:, None]
        wide += (pull * (squares - 1.0)).sum(0)
        if not self.mean.weight.requires_grad:
            return
        means = (pull * apart / deviation).view(-1, self.mean.out_features)
        self.heads[0].addmm_(means.t(), units)
        self.heads[1].add_(means.sum(0))
        self.actor.backward(inputs, torch.mm(means, weight, out=self.actor.top[: len(inputs)]))

    def _critic(self, inputs: torch.Tensor, returns: torch.Tensor, scale: float, errors: torch.Tensor) -> None:
        """Gradients of a block; ``errors`` is given by how much the values are above ``returns``."""
        units = self.critic.forward(inputs)
        weight, bias = self.value.weight.detach()[0], self.value.bias.detach()
        torch.sub(torch.mv(units, weight).view(-1, self.order).mean(1) + bias, returns, out=errors)
        of_turn = (errors * (scale / self.order))[:, None].expand(-1, self.order).reshape(-1)
        self.heads[2][0].addmv_(units.t(), of_turn)
        self.heads[3].add_(of_turn.sum())
        self.critic.backward(inputs, torch.outer(of_turn, weight, out=self.critic.top[: len(inputs)]))

    def _clear(self) -> None:
        self.actor.clear()
        self.critic.clear()
        for gradient in self.heads:
            gradient.zero_()

    def _step(self, gradient_norm: float) -> None:
        """Cut the gradients and let Adam take its step, of those weights that may learn."""
        parts = (*self.actor.linear, *self.critic.linear)
        weights = [w for part in (*parts, self.mean, self.value) for w in (part.weight, part.bias)]
        layers = (*self.actor.gradients, *self.critic.gradients)
        found = [*(gradient for pair in layers for gradient in pair), *self.heads]
        weights.append(self.policy.log_std)
        for weight, gradient in zip(weights, [*found, self.log_std], strict=True):
            weight.grad = gradient if weight.requires_grad else None
        nn.utils.clip_grad_norm_(self.policy.parameters(), gradient_norm)
        self.policy.optimizer.step()


def _flat(buffer: RolloutBuffer) -> tuple[torch.Tensor, ...]:
    """Observations, actions, log-likelihoods, advantages and returns, one step of all worlds after the other."""
    kept = (buffer.observations, buffer.actions, buffer.log_probs, buffer.advantages, buffer.returns)
    tensors = [torch.from_numpy(part).flatten(0, 1) for part in kept]
    return (*tensors[:2], *(part.flatten() for part in tensors[2:]))


def _order(buffer: RolloutBuffer) -> NDArray[np.int64]:
    """Where `_flat` has what Stable-Baselines3 counts through, one world after the other."""
    count = buffer.buffer_size * buffer.n_envs
    return np.arange(count).reshape(buffer.buffer_size, buffer.n_envs).T.ravel()
