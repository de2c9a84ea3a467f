"""TD3+BC: Fujimoto, Gu, "A Minimalist Approach to Offline Reinforcement Learning", NeurIPS 2021 (2106.06860).

    y    = r + gamma min_k Qbar_k(s', clip(pibar(s') + clip(sigma e, -c, c), -1, 1))                e standard normal
    L_Q  = sum_k E_D[ (Q_k(s, a) - y)^2 ]
    L_pi = -lambda E_D[ Q_0(s, pi(s)) ] + E_D[ mean over columns of (pi(s) - a)^2 ],  lambda = alpha / E_D|Q_0|   (3, 5)

The policy and both targets move every ``policy_every`` steps. Defaults are the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knuckle.core.config import setting
from knuckle.policy.offline.adam import Adam, put_weights, weight_arrays
from knuckle.policy.offline.learner import Arrays, Batch, Figures, out_of_distribution
from knuckle.policy.offline.network import Mlp, Part, Weights
from knuckle.policy.offline.twin_q import TwinQ

SMALLEST_Q = 1e-8


@dataclass(frozen=True)
class Td3BcConfig:
    """The paper's defaults."""

    alpha: float = setting(2.5, "how much the value counts beside cloning", low=0.0, high=1e4)
    noise: float = setting(0.2, "sigma: deviation of the target's action", low=0.0, high=10.0)
    noise_clip: float = setting(0.5, "c: its noise is cut there", low=0.0, high=10.0)
    policy_every: int = setting(2, "steps from one update of the policy to the next", low=1)
    gamma: float = setting(0.99, "discount", low=0.0, high=1.0)
    tau: float = setting(0.005, "share by which targets follow", low=0.0, high=1.0)
    width: int = setting(256, "units of each of two hidden layers", low=1, high=8192)
    rate: float = setting(3e-4, "Adam's rate", low=0.0, high=1.0)
    batch: int = setting(256, "rows a step", low=1, high=1 << 20)


class Td3Bc:
    """TD3+BC for observations and actions of so many columns, begun from ``rng``."""

    def __init__(
        self,
        config: Td3BcConfig,
        columns: tuple[int, int],
        rng: np.random.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        seen, acted = columns
        hidden = (config.width, config.width)
        self.config, self.steps = config, 0
        self.q = TwinQ((seen + acted, *hidden, 1), rng, config.rate, dtype)
        self.pi = Weights({"pi": Mlp((seen, *hidden, acted))}, {}, dtype)
        self.pi.draw(rng)
        self.pi_bar = self.pi.copy()
        self.pi_adam = Adam(self.pi, config.rate)
        self._tape = self.pi.networks["pi"].tape(config.batch)

    def update(self, batch: Batch, rng: np.random.Generator, *, explain: bool = False) -> Figures:
        """One step on Q, and on the policy and the targets where it is their turn."""
        config, count = self.config, len(batch)
        drawn = torch.from_numpy(rng.standard_normal(tuple(batch.actions.shape))).to(batch.actions.dtype)
        smooth = (config.noise * drawn).clamp(-config.noise_clip, config.noise_clip)
        a_next = (torch.tanh(self.pi_bar.networks["pi"](batch.next_observations)) + smooth).clamp(-1.0, 1.0)
        q_next = self.q.target(torch.cat([batch.next_observations, a_next], dim=1))
        y = batch.rewards + config.gamma * batch.lasts * q_next
        error = self.q.forward(torch.cat([batch.observations, batch.actions], dim=1)) - y
        self.q.backward((2.0 / count) * error)
        self.q.adam.step()
        self.steps += 1
        figures = {"q_loss": float((error * error).mean())} if explain else {}
        if self.steps % config.policy_every == 0:
            figures |= self._improve(batch, explain=explain)
        return figures | (out_of_distribution(self, batch.observations) if explain else {})

    def _improve(self, batch: Batch, *, explain: bool) -> Figures:
        config, count, s = self.config, len(batch), batch.observations
        if self._tape.rows < count:
            self._tape = self.pi.networks["pi"].tape(count)
        pi = torch.tanh(self.pi.networks["pi"].forward(s, self._tape))
        q = self.q.forward(torch.cat([s, pi], dim=1), heads=(0,))
        size = float(q.abs().mean())
        lam = config.alpha / max(size, SMALLEST_Q)
        by_q = torch.full_like(q, -lam / count)
        apart = pi - batch.actions
        by_pi = self.q.by_input(by_q, heads=(0,))[:, s.shape[1] :] + (2.0 / apart.numel()) * apart
        part = Part(slice(None), None, self.pi_adam.gradient.networks["pi"])
        self.pi.networks["pi"].backward(self._tape, by_pi * (1.0 - pi * pi), [part])
        self.pi_adam.step()
        self.q.q_bar.follow(self.q.q, config.tau)
        self.pi_bar.follow(self.pi, config.tau)
        if not explain:
            return {}
        return {"cloning_loss": float((apart * apart).mean()), "q_of_policy": float(q.mean()), "q_size": size}

    def act(self, observations: Tensor) -> Tensor:
        """The policy (N, A), -1 to 1."""
        return torch.tanh(self.pi.networks["pi"](observations))

    def value(self, observations: Tensor) -> Tensor:
        """The lower Q of what the policy does (N,)."""
        return self.q.lower(torch.cat([observations, self.act(observations)], dim=1))

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Weights, targets, Adam's moments, and how many steps are done."""
        arrays = self.q.capture() | self.pi_adam.capture("pi") | weight_arrays(self.pi_bar, "pi_bar")
        return arrays, {"steps": self.steps}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Put back what `capture` gave."""
        self.q.restore(arrays)
        self.pi_adam.restore("pi", arrays)
        put_weights(self.pi_bar, "pi_bar", arrays)
        self.steps = int(facts["steps"])
