"""Weighted regression: the policy's part of O-DICE, IQL and behaviour cloning, max over pi of E_D[w log pi(a|s)].

The policy is a Gaussian whose deviation does not depend on the observation, or a mean alone (least squares).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from knuckle.policy.offline.adam import Adam
from knuckle.policy.offline.network import Mlp, Part, Weights

LOG_2PI = math.log(2.0 * math.pi)


class GaussianActor:
    """log pi(a|s) = -sum(((a - mu(s)) / sigma)^2 / 2 + log sigma + log(2 pi) / 2), sigma one for all observations.

    ``squash``: mu is tanh of the network, else the network itself, cut to -1 to 1 when it acts. Where ``deviation`` is
    False there is no sigma and the loss is E_D[w sum((a - mu(s))^2)]. log sigma begins at ``log_std`` and is kept in
    ``bounds``.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        rng: np.random.Generator,
        *,
        rate: float,
        squash: bool,
        deviation: bool = True,
        log_std: float = 0.0,
        bounds: tuple[float, float] = (-20.0, 2.0),
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.squash, self.deviation, self.bounds = squash, deviation, bounds
        self.weights = Weights({"mean": Mlp(sizes)}, {"log_std": sizes[-1]} if deviation else {}, dtype)
        self.weights.draw(rng)
        if deviation:
            self.weights.views["log_std"].fill_(log_std)
        self.network = self.weights.networks["mean"]
        self.adam = Adam(self.weights, rate, weight_decay=weight_decay)
        self._tape = self.network.tape(1)

    def regress(self, observations: Tensor, actions: Tensor, w: Tensor, *, rate: float | None = None) -> float:
        """One step of Adam on the mean of w times the loss of each row; that mean.

        Rows of weight 0 pull at nothing, so they are left out of both passes.
        """
        count = len(w)
        kept = w.nonzero().squeeze(1)
        if len(kept) < count:
            observations, actions, w = observations[kept], actions[kept], w[kept]
        if self._tape.rows < len(w):
            self._tape = self.network.tape(len(w))
        if len(w):
            loss = self._gradient(observations, actions, w / count)
        else:
            loss = 0.0
            self.adam.gradient.flat.zero_()
        self.adam.step(rate=rate)
        return loss

    def _gradient(self, observations: Tensor, actions: Tensor, w: Tensor) -> float:
        raw = self.network.forward(observations, self._tape)
        mu = torch.tanh(raw) if self.squash else raw
        error = mu - actions
        if self.deviation:
            stored = self.weights.views["log_std"]
            log_std = stored.clamp(*self.bounds)
            z = error * torch.exp(-log_std)
            loss = torch.dot(w, (0.5 * z * z + log_std + 0.5 * LOG_2PI).sum(1))
            by_mu = z * torch.exp(-log_std) * w[:, None]
            within = (stored >= self.bounds[0]) & (stored <= self.bounds[1])
            by_log_std = torch.mv((1.0 - z * z).t(), w) * within
            self.adam.gradient.views["log_std"].copy_(by_log_std)
        else:
            loss = torch.dot(w, (error * error).sum(1))
            by_mu = 2.0 * error * w[:, None]
        outward = by_mu * (1.0 - mu * mu) if self.squash else by_mu
        part = Part(slice(None), None, self.adam.gradient.networks["mean"])
        self.network.backward(self._tape, outward, [part])
        return float(loss)

    def mean(self, observations: Tensor) -> Tensor:
        """mu (N, A) for ``observations`` (N, O), cut to -1 to 1."""
        raw = self.network(observations)
        return torch.tanh(raw) if self.squash else raw.clamp(-1.0, 1.0)
