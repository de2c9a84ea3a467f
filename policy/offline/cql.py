"""CQL: Kumar, Zhou, Tucker, Levine, "Conservative Q-Learning for Offline Reinforcement Learning", NeurIPS 2020
(2006.04779): CQL(H) over soft actor-critic, in CORL's form.

    y     = r + gamma min_k Qbar_k(s', a'),   a' ~ pi(s')                                     no entropy in the target
    L_Q   = sum_k E_D[ (Q_k(s, a) - y)^2 ] + alpha sum_k E_D[ log sum_j exp(Q_k(s, a_j) - log p(a_j)) - Q_k(s, a) ]  (4)
    L_pi  = E_D[ e log pi(u|s) - min_k Q_k(s, u) ],   u ~ pi(s)
    L_e   = -log e E_D[ log pi(u|s) + H ],   H = -columns of the action

The sum is over ``samples`` actions drawn uniformly, from pi(s') and from pi(s), each with its density p. The policy is
the tanh of a Gaussian whose log deviation is the network's output and ``log_std_offset``, cut to -20 to 2. Unlike CORL:
weights begin as torch's and not orthogonal, and the two scalars that shift and scale the log deviation are not learned.
With ``target_mean`` a' is the middle of pi(s') instead of drawn, as d3rlpy has it.
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
from knuckle.policy.offline.gaussian_actor import LOG_2PI
from knuckle.policy.offline.learner import Arrays, Batch, Figures, out_of_distribution
from knuckle.policy.offline.network import Mlp, Part, Weights
from knuckle.policy.offline.twin_q import TwinQ

LOG_STD_LOW, LOG_STD_HIGH = -20.0, 2.0


@dataclass(frozen=True)
class CqlConfig:
    """CORL's defaults."""

    alpha: float = setting(10.0, "how much the conservative term counts", low=0.0, high=1e4)
    samples: int = setting(10, "actions drawn of each of the three kinds", low=1, high=1000)
    gamma: float = setting(0.99, "discount", low=0.0, high=1.0)
    tau: float = setting(0.005, "share by which the target follows Q each step", low=0.0, high=1.0)
    width: int = setting(256, "units of each hidden layer", low=1, high=8192)
    critic_layers: int = setting(3, "hidden layers of Q; the policy has two", low=1, high=10)
    rate: float = setting(3e-4, "Adam's rate for Q", low=0.0, high=1.0)
    policy_rate: float = setting(3e-5, "Adam's rate for the policy and the entropy's price", low=0.0, high=1.0)
    log_std_offset: float = setting(-1.0, "where the policy's log deviation begins; 0 in d3rlpy", low=-20.0, high=2.0)
    target_mean: bool = setting(False, "the target's action is the policy's middle, as d3rlpy has it; else drawn")
    batch: int = setting(256, "rows a step", low=1, high=1 << 20)


@dataclass(frozen=True)
class Drawn:
    """Actions (N, A) drawn from the policy, their log densities (N,), and what their gradient needs (N, A)."""

    actions: Tensor
    log_density: Tensor
    noise: Tensor
    std: Tensor
    free: Tensor
    """1 where the log deviation is not cut."""


class Cql:
    """CQL for observations and actions of so many columns, begun from ``rng``."""

    def __init__(
        self,
        config: CqlConfig,
        columns: tuple[int, int],
        rng: np.random.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        seen, acted = columns
        self.config, self._acted = config, acted
        self.q = TwinQ((seen + acted, *(config.width,) * config.critic_layers, 1), rng, config.rate, dtype)
        self.pi = Weights({"pi": Mlp((seen, config.width, config.width, 2 * acted))}, {}, dtype)
        self.pi.draw(rng)
        self.pi_adam = Adam(self.pi, config.policy_rate)
        self.entropy = Weights({}, {"log_e": 1}, dtype)
        self.entropy_adam = Adam(self.entropy, config.policy_rate)
        self._tape = self.pi.networks["pi"].tape(config.batch)

    def update(self, batch: Batch, rng: np.random.Generator, *, explain: bool = False) -> Figures:
        """One step on the price of entropy, the policy, Q and the target, all from the values before it."""
        config, count, s = self.config, len(batch), batch.observations
        e = float(self.entropy.flat.exp())
        figures = self._improve(s, e, rng)
        after = self._draw(self.pi.networks["pi"](batch.next_observations), rng)
        chosen = self.act(batch.next_observations) if config.target_mean else after.actions
        q_next = self.q.target(torch.cat([batch.next_observations, chosen], dim=1))
        y = batch.rewards + config.gamma * batch.lasts * q_next

        actions, log_density = self._others(batch, rng)
        rows = torch.cat([batch.actions, actions.flatten(0, 1)])
        q = self.q.forward(torch.cat([s.repeat(1 + len(actions), 1), rows], dim=1)).view(2, -1, count)
        error, others = q[:, 0] - y, q[:, 1:] - log_density
        outward = torch.empty_like(q)
        outward[:, 0] = (2.0 * error - config.alpha) / count
        outward[:, 1:] = (config.alpha / count) * torch.softmax(others, dim=1)
        self.q.backward(outward.flatten(1))
        for adam in (self.entropy_adam, self.pi_adam, self.q.adam):
            adam.step()
        self.q.q_bar.follow(self.q.q, config.tau)
        if not explain:
            return {}
        gap = float((torch.logsumexp(others, dim=1) - q[:, 0]).mean())
        figures |= {"q_loss": float((error * error).mean()), "conservative_gap": gap, "entropy_price": e}
        return figures | out_of_distribution(self, s)

    def _improve(self, s: Tensor, e: float, rng: np.random.Generator) -> Figures:
        """The gradients of the policy and of the entropy's price; neither moves yet."""
        count = len(s)
        if self._tape.rows < count:
            self._tape = self.pi.networks["pi"].tape(count)
        drawn = self._draw(self.pi.networks["pi"].forward(s, self._tape), rng)
        q = self.q.forward(torch.cat([s, drawn.actions], dim=1))
        first = q[0] <= q[1]
        by_q = torch.stack([first, ~first]).to(q.dtype) / -count
        by_action = self.q.by_input(by_q)[:, s.shape[1] :]
        # log pi = -noise^2 / 2 - log std - log(1 - u^2) + ..., whose slope by what tanh is taken of is 2 u.
        by_inner = by_action * (1.0 - drawn.actions**2) + (2.0 * e / count) * drawn.actions
        by_log_std = (by_inner * drawn.std * drawn.noise - e / count) * drawn.free
        part = Part(slice(None), None, self.pi_adam.gradient.networks["pi"])
        self.pi.networks["pi"].backward(self._tape, torch.cat([by_inner, by_log_std], dim=1), [part])
        self.entropy_adam.gradient.flat.fill_(-float((drawn.log_density - self._acted).mean()))
        return {"policy_loss": float((e * drawn.log_density - torch.minimum(q[0], q[1])).mean())}

    def _others(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Actions (3 samples, B, A) for the conservative term, and their log densities (3 samples, B)."""
        samples, (count, acted) = self.config.samples, batch.actions.shape
        uniform = torch.from_numpy(rng.uniform(-1.0, 1.0, (samples, count, acted))).to(batch.actions.dtype)
        kinds = [(uniform, torch.full_like(uniform[..., 0], -acted * math.log(2.0)))]
        for observations in (batch.next_observations, batch.observations):
            output = self.pi.networks["pi"](observations).repeat(samples, 1)
            drawn = self._draw(output, rng)
            kinds.append((drawn.actions.view(samples, count, acted), drawn.log_density.view(samples, count)))
        return torch.cat([actions for actions, _ in kinds]), torch.cat([density for _, density in kinds])

    def _draw(self, output: Tensor, rng: np.random.Generator) -> Drawn:
        """Actions from the policy, whose network gave ``output`` (N, 2A)."""
        mean, raw = output[:, : self._acted], output[:, self._acted :]
        shifted = raw + self.config.log_std_offset
        log_std = shifted.clamp(LOG_STD_LOW, LOG_STD_HIGH)
        noise = torch.from_numpy(rng.standard_normal(tuple(mean.shape))).to(mean.dtype)
        std = log_std.exp()
        inner = mean + std * noise
        slope = 2.0 * (math.log(2.0) - inner - torch.nn.functional.softplus(-2.0 * inner))
        log_density = (-0.5 * noise * noise - log_std - 0.5 * LOG_2PI - slope).sum(1)
        free = ((shifted >= LOG_STD_LOW) & (shifted <= LOG_STD_HIGH)).to(mean.dtype)
        return Drawn(torch.tanh(inner), log_density, noise, std, free)

    def act(self, observations: Tensor) -> Tensor:
        """The policy without its noise (N, A), -1 to 1."""
        return torch.tanh(self.pi.networks["pi"](observations)[:, : self._acted])

    def value(self, observations: Tensor) -> Tensor:
        """The lower Q of what the policy does (N,)."""
        return self.q.lower(torch.cat([observations, self.act(observations)], dim=1))

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Weights, target and Adam's moments."""
        arrays = self.q.capture() | self.pi_adam.capture("pi") | self.entropy_adam.capture("entropy")
        return arrays, {}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Put back what `capture` gave."""
        self.q.restore(arrays)
        self.pi_adam.restore("pi", arrays)
        self.entropy_adam.restore("entropy", arrays)
