"""O-DICE: Mao, Xu, Zhang, Xu, Zhan, "ODICE: Revealing the Mystery of Distribution Correction Estimation via
Orthogonal-gradient Update", ICLR 2024 (arXiv 2402.00348).

V-DICE learns a state value alone, with no action in it and no policy asked (lambda trades the two terms):

    min_V  E_D[ (1 - lambda) V(s) + lambda f*( r + gamma V(s') - V(s) ) ]

f* is the convex conjugate of the f-divergence between the visitation of the learned policy and that of the data, with
the density ratio held at or above 0. The gradient of the second term has a part through V(s), forward, and one through
V(s'), backward. With Vbar a moving average of V, so that each part has a target that holds still:

    d_f = r + gamma Vbar(s') - V(s)        g_f = grad E[ lambda f*(d_f) ]            through V(s) alone
    d_b = r + gamma V(s') - Vbar(s)        g_b = grad E[ lambda eta f*(d_b) ]        through V(s') alone
    g_0 = grad E[ (1 - lambda) V(s) ]

    orthogonal   g = g_0 + g_f + g_b - g_f <g_f, g_b> / |g_f|^2      what lies along g_f is left out
    semi         g = g_0 + g_f                                       what most methods do
    true         g = grad of the whole, without Vbar                 residual gradient

The policy clones the data with weights w(d_f), where w = max(0, (f')^-1) is the density ratio ("exact"), or the
positive part of d_f as the authors' code has it ("relu"); both are cut at ``weight_ceiling``. With r = 0 the same is
imitation of what the data show. Neither is a calibrated density ratio: semi-gradients give that up (arXiv 2506.08644).

With two values (``twin``, the code's default) Vbar is the lower of both, V each for itself, and expectations are over
both. <g_f, g_b> is one product over all parameters of both ("global") or one for each layer ("per_layer").
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
from knuckle.policy.offline.gaussian_actor import GaussianActor
from knuckle.policy.offline.learner import Arrays, Batch, Figures, effective_share, out_of_distribution
from knuckle.policy.offline.network import Mlp, Part, Weights

SMALLEST_SQUARE = 1e-10
"""|g_f|^2 is not divided by less."""
LOG_STD = (-5.0, 2.0)
KL_CEILING = 12.0
"""The dual of reverse KL goes on as a straight line above this residual: exp would overflow on rewards of any size."""


@dataclass(frozen=True)
class OdiceConfig:
    """The released code's defaults, but for a policy of 256 units where it has 1024 (``policy_width``)."""

    lam: float = setting(0.6, "lambda: 1 gives the residual's term all the weight", low=0.0, high=1.0)
    eta: float = setting(1.0, "how much the backward gradient counts", low=0.0, high=10.0)
    gradient: str = setting("orthogonal", "which gradient", choices=("orthogonal", "semi", "true"))
    projection: str = setting(
        "global", "one product for all parameters, or one a layer", choices=("global", "per_layer")
    )
    divergence: str = setting("chi2", "f: Pearson chi-square or reverse KL", choices=("chi2", "kl"))
    weight: str = setting("relu", "the policy's weight: the code's or the density ratio", choices=("relu", "exact"))
    weight_ceiling: float = setting(100.0, "no weight above it", low=0.0)
    twin: bool = setting(True, "two values, the lower one as target")
    imitation: bool = setting(False, "all rewards 0: imitation of what the data show")
    gamma: float = setting(0.99, "discount", low=0.0, high=1.0)
    tau: float = setting(0.005, "share by which the target follows the value each step", low=0.0, high=1.0)
    norm: bool = setting(True, "layer norm in the value, as the code has it for locomotion")
    squash: bool = setting(False, "tanh of the policy's mean, as the code has it for imitation")
    deviation: bool = setting(True, "a Gaussian policy; else its mean by least squares")
    width: int = setting(256, "units of each of the value's hidden layers", low=1, high=8192)
    policy_width: int = setting(256, "units of each of the policy's; the paper's code has 1024", low=1, high=8192)
    rate: float = setting(2e-4, "Adam's rate", low=0.0, high=1.0)
    weight_decay: float = setting(1e-4, "of the policy", low=0.0, high=1.0)
    batch: int = setting(256, "rows a step", low=1, high=1 << 20)


def dual_slope(d: Tensor, divergence: str) -> Tensor:
    """The slope of f* at d: the density ratio that d stands for, never below 0.

    chi-square, f(x) = (x - 1)^2:  f*(d) = d w - (w - 1)^2 with w = max(d / 2 + 1, 0), so its slope is w: 0 below -2.
    reverse KL, f(x) = x log x:    f*(d) = exp(d - 1), and so is its slope.
    """
    if divergence == "chi2":
        return (0.5 * d + 1.0).clamp_(min=0.0)
    return torch.exp(d.clamp(max=KL_CEILING) - 1.0)


def policy_weight(d: Tensor, config: OdiceConfig) -> Tensor:
    """How much the policy is to clone a row of residual d: the density ratio, or what the authors' code takes for it.

    For reverse KL both are exp(d - 1).
    """
    if config.weight == "relu" and config.divergence == "chi2":
        w = d.clamp(min=0.0)
    else:
        w = dual_slope(d, config.divergence)
    return w.clamp_(max=config.weight_ceiling)


class Odice:
    """O-DICE for observations and actions of so many columns, begun from ``rng``."""

    def __init__(
        self,
        config: OdiceConfig,
        columns: tuple[int, int],
        rng: np.random.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.config = config
        form = Mlp((columns[0], config.width, config.width, 1), norm=config.norm)
        self.heads = ("v0", "v1") if config.twin else ("v0",)
        self.v = Weights(dict.fromkeys(self.heads, form), {}, dtype)
        self.v.draw(rng)
        self.v_bar = self.v.copy()
        self.adam = Adam(self.v, config.rate)
        self.g_f, self.g_b = self.v.like(), self.v.like()
        self.policy = GaussianActor(
            (columns[0], config.policy_width, config.policy_width, columns[1]),
            rng,
            rate=config.rate,
            squash=config.squash,
            deviation=config.deviation,
            bounds=LOG_STD,
            weight_decay=config.weight_decay,
            dtype=dtype,
        )
        self._tapes = [network.tape(2 * config.batch) for network in self.v.networks.values()]
        self._tape_bar = self.v.networks["v0"].tape(2 * config.batch)

    def update(self, batch: Batch, rng: np.random.Generator, *, explain: bool = False) -> Figures:
        """One step on V, the target and the policy; all three see the values from before it."""
        semi = self.config.gradient == "semi"
        s, both = batch.observations, torch.cat([batch.observations, batch.next_observations])
        v = self._values(s if semi else both)
        v_bar = self._target(batch.next_observations if semi else both)
        r = torch.zeros_like(batch.rewards) if self.config.imitation else batch.rewards
        d_f, figures = self._value_gradient(v, v_bar, r, self.config.gamma * batch.lasts, explain=explain)
        w = policy_weight(d_f, self.config).mean(0)
        self.adam.step()
        self.v_bar.follow(self.v, self.config.tau)
        policy_loss = self.policy.regress(s, batch.actions, w)
        if explain:
            figures |= {"policy_loss": policy_loss, "residual": float(d_f.mean())}
            figures |= {
                "weight_effective_share": effective_share(w),
                "weight_zero_share": float((w == 0.0).double().mean()),
            }
            figures |= {"dual_flat_share": float((d_f <= -2.0).double().mean())}
            figures |= out_of_distribution(self, s)
        return figures

    def _values(self, x: Tensor) -> Tensor:
        """V of each head (K, rows), kept on the tapes."""
        for k, network in enumerate(self.v.networks.values()):
            if self._tapes[k].rows < len(x):
                self._tapes[k] = network.tape(len(x))
        networks = zip(self.v.networks.values(), self._tapes, strict=True)
        return torch.stack([network.forward(x, tape)[:, 0] for network, tape in networks])

    def _target(self, x: Tensor) -> Tensor:
        """Vbar (rows,): the lower of the heads."""
        if self._tape_bar.rows < len(x):
            self._tape_bar = self.v_bar.networks["v0"].tape(len(x))
        values = [network.forward(x, self._tape_bar)[:, 0].clone() for network in self.v_bar.networks.values()]
        return torch.minimum(values[0], values[1]) if len(values) == 2 else values[0]

    def _value_gradient(
        self, v: Tensor, v_bar: Tensor, r: Tensor, gamma: Tensor, *, explain: bool
    ) -> tuple[Tensor, Figures]:
        """Fill Adam's gradient; the residual d_f (K, B) that the policy's weights follow from, and what explains it.

        One pass back from the outputs, all ones, gives every gradient: a row's is its factor times the same.
        """
        config, count = self.config, len(r)
        lam, over = config.lam, 1.0 / (len(v) * count)
        s, s_next = slice(0, count), slice(count, 2 * count)
        g_0 = self.adam.gradient
        if config.gradient == "semi":
            d_f = r + gamma * v_bar - v
            by_v = over * ((1.0 - lam) - lam * dual_slope(d_f, config.divergence))
            self._backward(v, [(g_0, s, by_v)])
            return d_f, {}
        if config.gradient == "true":
            d = r + gamma * v[:, s_next] - v[:, s]
            slope = over * lam * dual_slope(d, config.divergence)
            by_v = torch.cat([over * (1.0 - lam) - slope, slope * gamma], dim=1)
            self._backward(v, [(g_0, slice(None), by_v)])
            return d, {}
        d_f = r + gamma * v_bar[s_next] - v[:, s]
        d_b = r + gamma * v[:, s_next] - v_bar[s]
        by_v = -over * lam * dual_slope(d_f, config.divergence)
        by_v_next = over * lam * config.eta * gamma * dual_slope(d_b, config.divergence)
        ones = torch.full_like(by_v, over * (1.0 - lam))
        self._backward(v, [(g_0, s, ones), (self.g_f, s, by_v), (self.g_b, s_next, by_v_next)])
        return d_f, self._project(explain=explain)

    def _backward(self, v: Tensor, wanted: list[tuple[Weights, slice, Tensor]]) -> None:
        """Fill each of the ``wanted``: a gradient, its rows, and the factor of each head and row (K, rows)."""
        outward = torch.ones(v.shape[1], 1, dtype=v.dtype)
        for k, (name, tape) in enumerate(zip(self.heads, self._tapes, strict=True)):
            parts = [Part(rows, factor[k], into.networks[name]) for into, rows, factor in wanted]
            self.v.networks[name].backward(tape, outward, parts)

    def _project(self, *, explain: bool) -> Figures:
        """g = g_0 + g_f + (g_b - c g_f), c = <g_f, g_b> / |g_f|^2, into Adam's gradient."""
        g, g_f, g_b = self.adam.gradient.flat, self.g_f.flat, self.g_b.flat
        figures: Figures = {}
        if explain:
            dot, size_f, size_b = float(g_f @ g_b), float(g_f.norm()), float(g_b.norm())
            cosine = dot / max(size_f * size_b, SMALLEST_SQUARE)
            figures = {"cosine": cosine, "backward_kept": max(0.0, 1.0 - cosine * cosine) ** 0.5}
            figures |= {"forward_size": size_f, "backward_size": size_b}
        spans = [slice(None)] if self.config.projection == "global" else self.v.layers()
        g.add_(g_b)
        for span in spans:
            c = float(g_f[span] @ g_b[span]) / max(float(g_f[span] @ g_f[span]), SMALLEST_SQUARE)
            g[span].add_(g_f[span], alpha=1.0 - c)
        return figures

    def policy_weights(self, batch: Batch) -> Tensor:
        """The weights (B,) that the policy would be given now on the rows of ``batch``, with nothing learned."""
        weights = self.v if self.config.gradient == "true" else self.v_bar
        after = torch.stack([network(batch.next_observations)[:, 0] for network in weights.networks.values()])
        if self.config.gradient != "true":
            after = after.min(dim=0).values
        v = torch.stack([network(batch.observations)[:, 0] for network in self.v.networks.values()])
        r = torch.zeros_like(batch.rewards) if self.config.imitation else batch.rewards
        return policy_weight(r + self.config.gamma * batch.lasts * after - v, self.config).mean(0)

    def act(self, observations: Tensor) -> Tensor:
        """The policy's mean (N, A), -1 to 1."""
        return self.policy.mean(observations)

    def value(self, observations: Tensor) -> Tensor:
        """V (N,): the lower of the heads."""
        values = [network(observations)[:, 0] for network in self.v.networks.values()]
        return torch.minimum(values[0], values[1]) if len(values) == 2 else values[0]

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Weights, target and Adam's moments."""
        return self.adam.capture("v") | weight_arrays(self.v_bar, "v_bar") | self.policy.adam.capture("policy"), {}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Put back what `capture` gave."""
        self.adam.restore("v", arrays)
        put_weights(self.v_bar, "v_bar", arrays)
        self.policy.adam.restore("policy", arrays)
