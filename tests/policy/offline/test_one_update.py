"""Updates of every learner equal what the papers' losses say, to 1e-6.

Losses are written here as the papers print them, in numpy, and their gradients taken by complex steps: f(x + i h) =
f(x) + i h f'(x), with h = 1e-30, has no rounding to speak of. Nothing is derived, so nothing is derived twice in the
same wrong way. Every operation therefore takes complex numbers, and compares by their real parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from knuckle.policy.offline.bc import Bc, BcConfig
from knuckle.policy.offline.cql import Cql, CqlConfig
from knuckle.policy.offline.iql import Iql, IqlConfig
from knuckle.policy.offline.learner import Batch, Learner
from knuckle.policy.offline.odice import Odice, OdiceConfig
from knuckle.policy.offline.td3_bc import Td3Bc, Td3BcConfig

Array = np.ndarray
Named = dict[str, Array]
H = 1e-30


def gradient(loss: Callable[[Named], complex], at: Named) -> Named:
    """The gradient of ``loss`` by every number in ``at``."""
    found: Named = {}
    for name, value in at.items():
        found[name] = np.zeros(value.shape)
        for place in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[place] += 1j * H
            found[name][place] = loss(at | {name: moved}).imag / H
    return found


def relu(x: Array) -> Array:
    return np.where(x.real > 0.0, x, 0.0)


def lower(a: Array, b: Array) -> Array:
    return np.where(a.real <= b.real, a, b)


def cut(x: Array, low: float, high: float) -> Array:
    return np.where(x.real < low, low, np.where(x.real > high, high, x))


def log_sum_exp(x: Array, axis: int) -> Array:
    top = x.real.max(axis=axis, keepdims=True)
    return np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis)


def mlp(p: Named, name: str, x: Array) -> Array:
    """The network of that name; with layer norm before each ReLU where it has gains."""
    depth = sum(1 for key in p if key.startswith(f"{name}.") and key.endswith(".weight"))
    for k in range(depth):
        x = x @ p[f"{name}.{k}.weight"].T + p[f"{name}.{k}.bias"]
        if f"{name}.{k}.gain" in p:
            centred = x - x.mean(axis=1, keepdims=True)
            x = centred / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + 1e-5)
            x = x * p[f"{name}.{k}.gain"] + p[f"{name}.{k}.shift"]
        if k + 1 < depth:
            x = relu(x)
    return x


def gaussian_log_density(mean: Array, log_std: Array, actions: Array) -> Array:
    z = (actions - mean) / np.exp(log_std)
    return (-0.5 * z * z - log_std - 0.5 * np.log(2.0 * np.pi)).sum(axis=1)


class Adam:
    """Adam as Kingma and Ba print it, with the L2 term that torch calls weight decay."""

    def __init__(self, rate: float, decay: float = 0.0) -> None:
        self.rate, self.decay, self.t = rate, decay, 0
        self.m: Named = {}
        self.v: Named = {}

    def step(self, p: Named, g: Named, rate: float | None = None) -> Named:
        self.t += 1
        moved = {}
        for name, value in p.items():
            slope = g[name] + self.decay * value
            self.m[name] = 0.9 * self.m.get(name, 0.0) + 0.1 * slope
            self.v[name] = 0.999 * self.v.get(name, 0.0) + 0.001 * slope * slope
            m, v = self.m[name] / (1 - 0.9**self.t), self.v[name] / (1 - 0.999**self.t)
            moved[name] = value - (self.rate if rate is None else rate) * m / (np.sqrt(v) + 1e-8)
        return moved


def follow(target: Named, value: Named, tau: float) -> Named:
    return {name: (1.0 - tau) * target[name] + tau * value[name] for name in target}


def group(arrays: Named, name: str) -> Named:
    """The weights that a learner captured behind ``name``, without it, in double precision."""
    return {
        key.removeprefix(f"{name}."): v.astype(np.float64) for key, v in arrays.items() if key.startswith(f"{name}.")
    }


SEEN, ACTED, ROWS, WIDTH, UPDATES = 3, 2, 6, 3, 2
Rows = dict[str, Array]


def drawn_rows(seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    return {
        "s": rng.standard_normal((ROWS, SEEN)),
        "a": rng.uniform(-0.95, 0.95, (ROWS, ACTED)),
        "r": 2.0 * rng.standard_normal(ROWS),
        "s_next": rng.standard_normal((ROWS, SEEN)),
        "last": (rng.uniform(size=ROWS) > 0.3).astype(float),
    }


def batch_of(rows: Rows, dtype: torch.dtype) -> Batch:
    return Batch(*(torch.from_numpy(rows[name]).to(dtype) for name in ("s", "a", "r", "s_next", "last")))


Expected = Callable[[Named, list[Rows], np.random.Generator], dict[str, Named]]


def check(learner: Learner, expected: Expected, dtype: torch.dtype, tolerance: float) -> None:
    """After some updates every weight and every slow copy is where the papers' losses take it."""
    before, _ = learner.capture()
    rows = [drawn_rows(10 + k) for k in range(UPDATES if dtype == torch.float64 else 1)]
    rng = np.random.default_rng(3)
    for each in rows:
        learner.update(batch_of(each, dtype), rng)
    after, _ = learner.capture()
    for name, wanted in expected(before, rows, np.random.default_rng(3)).items():
        found = group(after, name)
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            np.testing.assert_allclose(found[key], value, rtol=0.0, atol=tolerance, err_msg=f"{name}.{key}")
        moved = [abs(found[key] - group(before, name)[key]).max() for key in wanted]
        assert max(moved) > 10.0 * tolerance, f"{name} has not moved"


PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 1e-6)]


def dual(d: Array, kind: str) -> Array:
    if kind == "kl":
        return np.exp(d - 1.0)
    w = relu(0.5 * d + 1.0)
    return d * w - (w - 1.0) ** 2


def by_hand_odice(config: OdiceConfig) -> Expected:
    heads = ("v0", "v1") if config.twin else ("v0",)
    lam, eta = config.lam, config.eta

    def values(p: Named, x: Array) -> Array:
        return np.stack([mlp(p, name, x)[:, 0] for name in heads])

    def gradients(v: Named, v_bar: Named, b: Rows, r: Array, m: Array) -> tuple[Named, Array]:
        low, low_next = values(v_bar, b["s"]).min(axis=0), values(v_bar, b["s_next"]).min(axis=0)

        def d_f(p: Named) -> Array:
            return r + m * low_next - values(p, b["s"])

        def d_b(p: Named) -> Array:
            return r + m * values(p, b["s_next"]) - low

        def d(p: Named) -> Array:
            return r + m * values(p, b["s_next"]) - values(p, b["s"])

        g_0 = gradient(lambda p: (1.0 - lam) * values(p, b["s"]).mean(), v)
        if config.gradient == "true":
            both = gradient(lambda p: lam * dual(d(p), config.divergence).mean(), v)
            return {name: g_0[name] + both[name] for name in v}, d(v)
        g_f = gradient(lambda p: lam * dual(d_f(p), config.divergence).mean(), v)
        if config.gradient == "semi":
            return {name: g_0[name] + g_f[name] for name in v}, d_f(v)
        g_b = gradient(lambda p: lam * eta * dual(d_b(p), config.divergence).mean(), v)
        layers = {name: "" if config.projection == "global" else name.rpartition(".")[0] for name in v}
        g = {}
        for name in v:
            same = [other for other in v if layers[other] == layers[name]]
            dot = sum((g_f[k] * g_b[k]).sum() for k in same)
            square = sum((g_f[k] * g_f[k]).sum() for k in same)
            g[name] = g_0[name] + g_f[name] + g_b[name] - dot / max(square, 1e-10) * g_f[name]
        return g, d_f(v)

    def expected(before: Named, rows: list[Rows], rng: np.random.Generator) -> dict[str, Named]:
        v, v_bar, policy = (group(before, name) for name in ("v", "v_bar", "policy"))
        v_adam, policy_adam = Adam(config.rate), Adam(config.rate, config.weight_decay)
        for b in rows:
            g, d = gradients(v, v_bar, b, 0.0 * b["r"] if config.imitation else b["r"], config.gamma * b["last"])
            relu_weight = config.weight == "relu" and config.divergence == "chi2"
            exact = np.exp(d - 1.0) if config.divergence == "kl" else np.maximum(0.5 * d + 1.0, 0.0)
            w = np.minimum(np.maximum(d, 0.0) if relu_weight else exact, config.weight_ceiling)
            v = v_adam.step(v, g)
            v_bar = follow(v_bar, v, config.tau)
            policy = policy_adam.step(policy, gradient(regression(b, w, config.squash, config.deviation), policy))
        return {"v": v, "v_bar": v_bar, "policy": policy}

    return expected


def regression(b: Rows, w: Array, squash: bool, deviation: bool) -> Callable[[Named], complex]:
    """The mean of w times -log pi(a|s), or times the squared distance; ``w`` (rows,) or (heads, rows)."""

    def loss(p: Named) -> complex:
        mean = mlp(p, "mean", b["s"])
        mean = np.tanh(mean) if squash else mean
        if not deviation:
            return (w * ((mean - b["a"]) ** 2).sum(axis=1)).mean()
        return -(w * gaussian_log_density(mean, cut(p["log_std"], -20.0, 2.0), b["a"])).mean()

    return loss


ODICE: list[dict[str, Any]] = [
    {},
    {"projection": "per_layer", "eta": 0.7},
    {"gradient": "semi", "weight": "exact"},
    {"gradient": "true"},
    {"divergence": "kl", "twin": False, "norm": False, "squash": True},
    {"imitation": True, "lam": 0.4, "weight": "exact", "deviation": False},
    {"imitation": True, "lam": 0.4, "norm": False, "squash": True, "weight_decay": 1e-5},
    {"twin": False, "projection": "per_layer", "norm": False, "weight_ceiling": 0.5},
]


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["double", "single"])
@pytest.mark.parametrize("changes", ODICE, ids=[",".join(map(str, c.values())) or "as published" for c in ODICE])
def test_odice_follows_its_equations(changes: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    config = OdiceConfig(width=WIDTH, policy_width=WIDTH, rate=1e-2, batch=ROWS, **changes)
    learner = Odice(config, (SEEN, ACTED), np.random.default_rng(0), dtype)
    check(learner, by_hand_odice(config), dtype, tolerance)


def by_hand_iql(config: IqlConfig) -> Expected:
    def expected(before: Named, rows: list[Rows], rng: np.random.Generator) -> dict[str, Named]:
        q, q_bar, v, policy = (group(before, name) for name in ("q", "q_bar", "v", "policy"))
        q_adam, v_adam, policy_adam = Adam(config.rate), Adam(config.rate), Adam(config.rate)
        for step, b in enumerate(rows):
            x = np.concatenate([b["s"], b["a"]], axis=1)
            low = np.minimum(mlp(q_bar, "q0", x), mlp(q_bar, "q1", x))[:, 0]
            v_next = mlp(v, "v", b["s_next"])[:, 0]
            advantage = low - mlp(v, "v", b["s"])[:, 0]

            def value_loss(p: Named, b: Rows = b, low: Array = low) -> complex:
                u = low - mlp(p, "v", b["s"])[:, 0]
                return (np.abs(config.expectile - (u.real < 0.0)) * u * u).mean()

            def q_loss(p: Named, b: Rows = b, x: Array = x, v_next: Array = v_next) -> complex:
                y = b["r"] + config.gamma * b["last"] * v_next
                return 0.5 * sum(((mlp(p, name, x)[:, 0] - y) ** 2).mean() for name in ("q0", "q1"))

            v = v_adam.step(v, gradient(value_loss, v))
            q = q_adam.step(q, gradient(q_loss, q))
            q_bar = follow(q_bar, q, config.tau)
            w = np.minimum(np.exp(config.beta * advantage), 100.0)
            g = gradient(regression(b, w, True, config.deviation), policy)
            rate = 0.5 * config.rate * (1.0 + np.cos(np.pi * step / config.cosine_steps))
            policy = policy_adam.step(policy, g, rate)
        return {"q": q, "q_bar": q_bar, "v": v, "policy": policy}

    return expected


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["double", "single"])
@pytest.mark.parametrize("deviation", [True, False])
def test_iql_follows_its_equations(deviation: bool, dtype: torch.dtype, tolerance: float) -> None:
    config = IqlConfig(width=WIDTH, batch=ROWS, rate=1e-2, cosine_steps=4, deviation=deviation)
    learner = Iql(config, (SEEN, ACTED), np.random.default_rng(0), dtype)
    check(learner, by_hand_iql(config), dtype, tolerance)


def by_hand_td3_bc(config: Td3BcConfig) -> Expected:
    def expected(before: Named, rows: list[Rows], rng: np.random.Generator) -> dict[str, Named]:
        q, q_bar, pi, pi_bar = (group(before, name) for name in ("q", "q_bar", "pi", "pi_bar"))
        q_adam, pi_adam = Adam(config.rate), Adam(config.rate)
        for step, b in enumerate(rows, start=1):
            noise = np.clip(config.noise * rng.standard_normal((ROWS, ACTED)), -config.noise_clip, config.noise_clip)
            a_next = np.clip(np.tanh(mlp(pi_bar, "pi", b["s_next"])) + noise, -1.0, 1.0)
            x, x_next = np.concatenate([b["s"], b["a"]], 1), np.concatenate([b["s_next"], a_next], 1)
            y = b["r"] + config.gamma * b["last"] * np.minimum(mlp(q_bar, "q0", x_next), mlp(q_bar, "q1", x_next))[:, 0]

            def q_loss(p: Named, x: Array = x, y: Array = y) -> complex:
                return sum(((mlp(p, name, x)[:, 0] - y) ** 2).mean() for name in ("q0", "q1"))

            q = q_adam.step(q, gradient(q_loss, q))
            if step % config.policy_every:
                continue
            now = np.concatenate([b["s"], np.tanh(mlp(pi, "pi", b["s"]))], axis=1)
            lam = config.alpha / np.abs(mlp(q, "q0", now)).mean()

            def pi_loss(p: Named, b: Rows = b, q: Named = q, lam: float = lam) -> complex:
                a = np.tanh(mlp(p, "pi", b["s"]))
                return -lam * mlp(q, "q0", np.concatenate([b["s"], a], axis=1)).mean() + ((a - b["a"]) ** 2).mean()

            pi = pi_adam.step(pi, gradient(pi_loss, pi))
            q_bar, pi_bar = follow(q_bar, q, config.tau), follow(pi_bar, pi, config.tau)
        return {"q": q, "q_bar": q_bar, "pi": pi, "pi_bar": pi_bar}

    return expected


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["double", "single"])
def test_td3_bc_follows_its_equations(dtype: torch.dtype, tolerance: float) -> None:
    every = 2 if dtype == torch.float64 else 1
    config = Td3BcConfig(width=WIDTH, batch=ROWS, rate=1e-2, policy_every=every)
    learner = Td3Bc(config, (SEEN, ACTED), np.random.default_rng(0), dtype)
    check(learner, by_hand_td3_bc(config), dtype, tolerance)


def by_hand_bc(config: BcConfig) -> Expected:
    def expected(before: Named, rows: list[Rows], rng: np.random.Generator) -> dict[str, Named]:
        policy, adam = group(before, "policy"), Adam(config.rate)
        for b in rows:
            policy = adam.step(
                policy, gradient(lambda p, b=b: ((np.tanh(mlp(p, "mean", b["s"])) - b["a"]) ** 2).mean(), policy)
            )
        return {"policy": policy}

    return expected


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["double", "single"])
def test_cloning_follows_its_equation(dtype: torch.dtype, tolerance: float) -> None:
    config = BcConfig(width=WIDTH, batch=ROWS, rate=1e-2)
    learner = Bc(config, (SEEN, ACTED), np.random.default_rng(0), dtype)
    check(learner, by_hand_bc(config), dtype, tolerance)


def by_hand_cql(config: CqlConfig) -> Expected:
    n = config.samples

    def draw(p: Named, x: Array, noise: Array) -> tuple[Array, Array]:
        """Actions and log densities: a Gaussian's, less log(1 - tanh^2) for the squeezing."""
        out = mlp(p, "pi", x)
        mean, log_std = out[:, :ACTED], cut(out[:, ACTED:] + config.log_std_offset, -20.0, 2.0)
        inner = mean + np.exp(log_std) * noise
        actions = np.tanh(inner)
        density = gaussian_log_density(mean, log_std, inner) - np.log(1.0 - actions * actions).sum(axis=1)
        return actions, density

    def expected(before: Named, rows: list[Rows], rng: np.random.Generator) -> dict[str, Named]:
        q, q_bar, pi, entropy = (group(before, name) for name in ("q", "q_bar", "pi", "entropy"))
        q_adam, pi_adam, entropy_adam = Adam(config.rate), Adam(config.policy_rate), Adam(config.policy_rate)
        for b in rows:
            e, s, s_next = np.exp(entropy["log_e"][0]), b["s"], b["s_next"]
            own = rng.standard_normal((ROWS, ACTED))

            def pi_loss(p: Named, q: Named = q, e: float = e, s: Array = s, own: Array = own) -> complex:
                u, density = draw(p, s, own)
                x = np.concatenate([s, u], axis=1)
                return (e * density - lower(mlp(q, "q0", x), mlp(q, "q1", x))[:, 0]).mean()

            price = {"log_e": np.array([-(draw(pi, s, own)[1] - ACTED).mean()])}
            a_next, _ = draw(pi, s_next, rng.standard_normal((ROWS, ACTED)))
            a_next = np.tanh(mlp(pi, "pi", s_next)[:, :ACTED]) if config.target_mean else a_next
            x_next = np.concatenate([s_next, a_next], axis=1)
            y = b["r"] + config.gamma * b["last"] * np.minimum(mlp(q_bar, "q0", x_next), mlp(q_bar, "q1", x_next))[:, 0]
            kinds = [(rng.uniform(-1.0, 1.0, (n, ROWS, ACTED)), np.full((n, ROWS), np.log(0.5**ACTED)))]
            for x in (s_next, s):
                noise = rng.standard_normal((n * ROWS, ACTED))
                pairs = [draw(pi, x, noise[k * ROWS : (k + 1) * ROWS]) for k in range(n)]
                kinds.append((np.stack([a for a, _ in pairs]), np.stack([density for _, density in pairs])))
            others = np.concatenate([a for a, _ in kinds])
            densities = np.concatenate([density for _, density in kinds])

            def q_loss(
                p: Named, b: Rows = b, y: Array = y, others: Array = others, densities: Array = densities
            ) -> complex:
                total = 0.0
                for name in ("q0", "q1"):
                    seen = mlp(p, name, np.concatenate([b["s"], b["a"]], axis=1))[:, 0]
                    each = [mlp(p, name, np.concatenate([b["s"], a], axis=1))[:, 0] for a in others]
                    gap = log_sum_exp(np.stack(each) - densities, axis=0) - seen
                    total = total + ((seen - y) ** 2).mean() + config.alpha * gap.mean()
                return total

            g_pi, g_q = gradient(pi_loss, pi), gradient(q_loss, q)
            entropy, pi, q = entropy_adam.step(entropy, price), pi_adam.step(pi, g_pi), q_adam.step(q, g_q)
            q_bar = follow(q_bar, q, config.tau)
        return {"q": q, "q_bar": q_bar, "pi": pi, "entropy": entropy}

    return expected


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["double", "single"])
@pytest.mark.parametrize("changes", [{}, {"target_mean": True, "log_std_offset": 0.5}], ids=["corl", "d3rlpy"])
def test_cql_follows_its_equations(changes: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    config = CqlConfig(width=WIDTH, batch=ROWS, rate=1e-2, policy_rate=1e-2, samples=2, alpha=3.0, **changes)
    learner = Cql(config, (SEEN, ACTED), np.random.default_rng(0), dtype)
    check(learner, by_hand_cql(config), dtype, tolerance)
