"""IQL: Kostrikov, Nair, Levine, "Offline Reinforcement Learning with Implicit Q-Learning", ICLR 2022 (2110.06169).

    L_V  = E_D[ |tau - 1(u < 0)| u^2 ],   u = Qbar(s, a) - V(s)                          (5), the lower of two Qbar
    L_Q  = E_D[ (r + gamma V(s') - Q(s, a))^2 ]                                          (6)
    L_pi = -E_D[ min(exp(beta u), 100) log pi(a|s) ]                                     (7)

Defaults are those of the paper's code for locomotion, as CORL has them (antmaze: tau 0.9, beta 10). The policy's rate
falls to 0 by a cosine over ``cosine_steps``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knuckle.core.config import setting
from knuckle.policy.offline.adam import Adam
from knuckle.policy.offline.gaussian_actor import GaussianActor
from knuckle.policy.offline.learner import Arrays, Batch, Figures, effective_share, out_of_distribution
from knuckle.policy.offline.network import Mlp, Part, Weights
from knuckle.policy.offline.twin_q import TwinQ

WEIGHT_CEILING = 100.0


@dataclass(frozen=True)
class IqlConfig:
    """CORL's defaults."""

    expectile: float = setting(0.7, "tau: 0.5 is the mean of the data's actions, 1 their best", low=0.5, high=1.0)
    beta: float = setting(3.0, "inverse temperature of the policy's weights", low=0.0, high=1e4)
    gamma: float = setting(0.99, "discount", low=0.0, high=1.0)
    tau: float = setting(0.005, "share by which the target follows Q each step", low=0.0, high=1.0)
    deviation: bool = setting(True, "a Gaussian policy; else its mean by least squares")
    log_std: float = setting(0.0, "where its log deviation begins; -1.5 in d3rlpy", low=-20.0, high=2.0)
    cosine_steps: int = setting(0, "steps in which the policy's rate falls to 0; 0: it does not", low=0)
    width: int = setting(256, "units of each of two hidden layers", low=1, high=8192)
    rate: float = setting(3e-4, "Adam's rate", low=0.0, high=1.0)
    batch: int = setting(256, "rows a step", low=1, high=1 << 20)


class Iql:
    """IQL for observations and actions of so many columns, begun from ``rng``."""

    def __init__(
        self,
        config: IqlConfig,
        columns: tuple[int, int],
        rng: np.random.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        seen, acted = columns
        hidden = (config.width, config.width)
        self.config, self.steps = config, 0
        self.q = TwinQ((seen + acted, *hidden, 1), rng, config.rate, dtype)
        self.v = Weights({"v": Mlp((seen, *hidden, 1))}, {}, dtype)
        self.v.draw(rng)
        self.v_adam = Adam(self.v, config.rate)
        self._tape = self.v.networks["v"].tape(2 * config.batch)
        self.policy = GaussianActor(
            (seen, *hidden, acted),
            rng,
            rate=config.rate,
            squash=True,
            deviation=config.deviation,
            log_std=config.log_std,
            dtype=dtype,
        )

    def update(self, batch: Batch, rng: np.random.Generator, *, explain: bool = False) -> Figures:
        """One step on V, Q, the target and the policy."""
        config, count = self.config, len(batch)
        x = torch.cat([batch.observations, batch.actions], dim=1)
        both = self._values(batch)
        v, v_next = both[:count], both[count:]
        u = self.q.target(x) - v
        y = batch.rewards + config.gamma * batch.lasts * v_next

        side = torch.where(u < 0.0, 1.0 - config.expectile, config.expectile)
        part = Part(slice(None), None, self.v_adam.gradient.networks["v"])
        self.v.networks["v"].backward(self._tape, (-2.0 / count) * (side * u)[:, None], [part])
        self.v_adam.step()

        error = self.q.forward(x) - y
        self.q.backward(error / count)  # of the mean of both heads' mean squares
        self.q.adam.step()
        self.q.q_bar.follow(self.q.q, config.tau)

        w = self._weights(u)
        policy_loss = self.policy.regress(batch.observations, batch.actions, w, rate=self._policy_rate())
        self.steps += 1
        if not explain:
            return {}
        figures = {"policy_loss": policy_loss, "value_loss": float((side * u * u).mean())}
        figures |= {"q_loss": float((error * error).mean()), "advantage": float(u.mean())}
        figures |= {"weight_effective_share": effective_share(w)}
        figures |= {"weight_ceiling_share": float((w >= 0.999 * WEIGHT_CEILING).double().mean())}
        return figures | out_of_distribution(self, batch.observations)

    def _values(self, batch: Batch) -> Tensor:
        """V of the observations, then of the next ones (2B,), from one pass."""
        both = torch.cat([batch.observations, batch.next_observations])
        if self._tape.rows < len(both):
            self._tape = self.v.networks["v"].tape(len(both))
        return self.v.networks["v"].forward(both, self._tape)[:, 0]

    def _policy_rate(self) -> float:
        if self.config.cosine_steps == 0:
            return self.config.rate
        share = min(self.steps / self.config.cosine_steps, 1.0)
        return 0.5 * self.config.rate * (1.0 + math.cos(math.pi * share))

    def policy_weights(self, batch: Batch) -> Tensor:
        """The weights (B,) that the policy would be given now on the rows of ``batch``, with nothing learned."""
        x = torch.cat([batch.observations, batch.actions], dim=1)
        return self._weights(self.q.target(x) - self.value(batch.observations))

    def _weights(self, u: Tensor) -> Tensor:
        return torch.exp((self.config.beta * u).clamp(max=math.log(WEIGHT_CEILING)))

    def act(self, observations: Tensor) -> Tensor:
        """The policy's mean (N, A), -1 to 1."""
        return self.policy.mean(observations)

    def value(self, observations: Tensor) -> Tensor:
        """V (N,)."""
        return self.v.networks["v"](observations)[:, 0]

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Weights, target, Adam's moments, and how many steps are done."""
        arrays = self.q.capture() | self.v_adam.capture("v") | self.policy.adam.capture("policy")
        return arrays, {"steps": self.steps}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Put back what `capture` gave."""
        self.q.restore(arrays)
        self.v_adam.restore("v", arrays)
        self.policy.adam.restore("policy", arrays)
        self.steps = int(facts["steps"])
