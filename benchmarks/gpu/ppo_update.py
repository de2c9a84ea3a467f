"""PPO in plain JAX, with Stable-Baselines3's arithmetic: collect, advantages, clipped updates by Adam.

Truncated episodes are bootstrapped with the value of their last observation; a terminated one is worth no more.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jp
from mjx_world import MjxWorld
from turned_networks import TurnedNetworks, scaled

from knuckle.policy.learned.train_config import PpoConfig

ADAM_EPS = 1e-5
BETAS = (0.9, 0.999)
KEPT = ("terminated", "truncated", "won", "rung", "held", "five", "broken")


class PpoUpdate:
    """Collecting and learning for ``world`` with ``networks``; pure functions, to be compiled once each.

    ``compiled`` counts how often collecting was: more than once is time thrown away.
    """

    def __init__(self, world: MjxWorld, networks: TurnedNetworks, config: PpoConfig) -> None:
        self.world, self.networks, self.config = world, networks, config
        self.compiled = 0

    def collect(self, params: Any, stats: Any, state: Any, seen: Any, key: Any, shares: Any) -> tuple[Any, ...]:
        """``config.steps`` control steps of all worlds: the new state and observations, the batch, and what happened.

        ``stats`` are mean and std (width,) that observations are normalised with throughout.
        """
        self.compiled += 1
        noise = jp.exp(params["log_std"])

        def one(carry: Any, own: Any) -> Any:
            state, seen = carry
            draw, step_key = jax.random.split(own)
            turns = self._scaled(seen, stats)
            mean = self.networks.mean_action(params, turns)
            action = mean + noise * jax.random.normal(draw, mean.shape)
            state, out = self.world.step(state, jp.clip(action, -1.0, 1.0), step_key, shares)
            last = self.networks.value(params, self._scaled(out["last"], stats))
            reward = out["reward"] + self.config.gamma * last * out["truncated"]
            kept = {
                "seen": seen,
                "action": action,
                "log_prob": log_prob(action, mean, params["log_std"]),
                "value": self.networks.value(params, turns),
                "reward": reward,
                "done": out["terminated"] | out["truncated"],
            }
            happened = {name: out[name] for name in KEPT}
            means = {name: out[name].mean() for name in out if name.startswith("reward")}
            return (state, out["seen"]), (kept, happened, means)

        keys = jax.random.split(key, self.config.steps)
        (state, seen), (batch, happened, means) = jax.lax.scan(one, (state, seen), keys)
        last = self.networks.value(params, self._scaled(seen, stats))
        batch["advantage"] = advantages(batch, last, self.config.gamma, self.config.gae_lambda)
        batch["wanted"] = batch["advantage"] + batch["value"]
        names = ("seen", "action", "log_prob", "advantage", "wanted")
        flat = {name: batch[name].reshape(-1, *batch[name].shape[2:]) for name in names}
        return state, seen, flat, happened, {name: mean.mean() for name, mean in means.items()}

    def learn(self, params: Any, adam: Any, stats: Any, batch: Any, key: Any, rate: Any) -> tuple[Any, Any, Any]:
        """All epochs over ``batch``: parameters, Adam's state and figures, those of the last epoch."""
        config = self.config
        size = len(batch["log_prob"]) // config.minibatches

        def epoch(carry: Any, own: Any) -> Any:
            order = jax.random.permutation(own, len(batch["log_prob"])).reshape(config.minibatches, size)
            return jax.lax.scan(part, carry, order)

        def part(carry: Any, rows: Any) -> Any:
            params, adam = carry
            some = {name: values[rows] for name, values in batch.items()}
            (_, figures), slope = jax.value_and_grad(self._loss, has_aux=True)(params, stats, some)
            length = jp.sqrt(sum((g * g).sum() for g in slope.values()))
            cut = jp.minimum(1.0, config.gradient_norm / (length + 1e-6))
            params, adam = adam_step(params, adam, {name: cut * g for name, g in slope.items()}, rate)
            return (params, adam), figures

        (params, adam), figures = jax.lax.scan(epoch, (params, adam), jax.random.split(key, config.epochs))
        return params, adam, {name: values[-1].mean() for name, values in figures.items()}

    def count(self, sums: Any, seen: Any) -> Any:
        """``sums`` (count, mean, variance) with observations (n, width), in every turn, counted in."""
        rows = self.networks.turned(seen).reshape(-1, self.networks.columns)
        count, mean, var = sums
        n, own, apart = float(len(rows)), rows.mean(axis=0), rows.var(axis=0)
        total, delta = count + n, own - mean
        spread = var * count + apart * n + delta * delta * count * n / total
        return total, mean + delta * n / total, spread / total

    def _scaled(self, seen: Any, stats: Any) -> Any:
        return scaled(self.networks.turned(seen), *stats, self.config.normaliser_clip)

    def _loss(self, params: Any, stats: Any, some: Any) -> tuple[Any, Any]:
        config, turns = self.config, self._scaled(some["seen"], stats)
        now = log_prob(some["action"], self.networks.mean_action(params, turns), params["log_std"])
        change = now - some["log_prob"]
        ratio, good = jp.exp(change), some["advantage"]
        good = (good - good.mean()) / (good.std(ddof=1) + 1e-8)
        cut = jp.clip(ratio, 1.0 - config.clip, 1.0 + config.clip)
        actor = -jp.minimum(ratio * good, cut * good).mean()
        critic = ((self.networks.value(params, turns) - some["wanted"]) ** 2).mean()
        entropy = (params["log_std"] + 0.5 * math.log(2.0 * math.pi * math.e)).sum()
        figures = {
            "approx_kl": (ratio - 1.0 - change).mean(),
            "clip_fraction": (jp.abs(ratio - 1.0) > config.clip).mean(),
            "value_loss": critic,
        }
        return actor + config.value * critic - config.entropy * entropy, figures


def log_prob(action: Any, mean: Any, log_std: Any) -> Any:
    """Log density (n,) of ``action`` (n, dof) under independent normals."""
    apart = (action - mean) * jp.exp(-log_std)
    return (-0.5 * apart * apart - log_std - 0.5 * math.log(2.0 * math.pi)).sum(axis=-1)


def advantages(batch: Any, last: Any, gamma: float, gae_lambda: float) -> Any:
    """Generalised advantages (T, N) of rewards, values and dones (T, N), with the values ``last`` (N,) after them."""

    def back(carry: Any, row: Any) -> Any:
        after, value_after = carry
        reward, value, done = row
        goes_on = 1.0 - done
        delta = reward + gamma * value_after * goes_on - value
        now = delta + gamma * gae_lambda * goes_on * after
        return (now, value), now

    rows = (batch["reward"], batch["value"], batch["done"].astype(jp.float32))
    return jax.lax.scan(back, (jp.zeros_like(last), last), rows, reverse=True)[1]


def adam_begin(params: Any) -> dict[str, Any]:
    """Adam's state before the first step."""
    zeros = {name: jp.zeros_like(value) for name, value in params.items()}
    return {"step": jp.zeros(()), "first": zeros, "second": dict(zeros)}


def adam_step(params: Any, adam: Any, slope: Any, rate: Any) -> tuple[Any, Any]:
    """One step of Adam down ``slope``."""
    step, (b1, b2) = adam["step"] + 1.0, BETAS
    first = {name: b1 * adam["first"][name] + (1.0 - b1) * g for name, g in slope.items()}
    second = {name: b2 * adam["second"][name] + (1.0 - b2) * g * g for name, g in slope.items()}

    def moved(name: str) -> Any:
        up, down = first[name] / (1.0 - b1**step), jp.sqrt(second[name] / (1.0 - b2**step))
        return params[name] - rate * up / (down + ADAM_EPS)

    return {name: moved(name) for name in params}, {"step": step, "first": first, "second": second}
