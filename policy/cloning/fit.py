"""Learning actions by observations from weighted rows: a network of the form of PPO's, by weighted least squares.

The rows are few, so everything is done to make them go further: one network reads every turn of the observation and
answers for one finger (`SymmetricPolicy`'s form), which makes G rows of one; observations get a little noise; and the
previous action, from which a cloned policy may learn to go on as before instead of to look, can be hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.cloning.fit_config import FitConfig
from knuckle.policy.cloning.rows import Rows
from knuckle.policy.learned.export import Actor
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.sim.reorient.hand_symmetry import HandSymmetry
from knuckle.sim.reorient.observation import ReorientObservation

STD_FLOOR = 0.01
"""No column is stretched by more than a hundred, however still it is in the rows: as PPO's normaliser."""


@dataclass(frozen=True)
class Fitted:
    """The network ``layers`` (weight, bias), its ``normaliser``, and how far its actions are from the rows': ``error``
    on those held back, ``spread`` the error of always answering their mean (both weighted means of squares), and the
    deviation ``std`` of its errors. With a ``symmetry`` the layers answer for the finger in the first place."""

    layers: list[tuple[Array, Array]]
    normaliser: Normaliser
    error: float
    spread: float
    std: float
    symmetry: HandSymmetry | None = None

    def actor(self) -> Actor:
        """The same to be exported."""
        return Actor(self.normaliser, self.layers, self.act, self.symmetry)

    def act(self, observations: Array) -> Array:
        """Actions (n, dof), not yet cut, for ``observations`` (n, width); in single precision, as it was trained."""
        turns = observations if self.symmetry is None else self.symmetry.copies(observations)
        x = self.normaliser(turns).astype(np.float32)
        for k, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T.astype(np.float32) + bias.astype(np.float32)
            x = np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))) if k + 1 < len(self.layers) else x
        if self.symmetry is not None:
            x = x[:, np.argsort(self.symmetry.finger_of())].reshape(len(observations), -1)
        return np.asarray(x, dtype=np.float64)


def fit(
    rows: Rows,
    hand: HandSpec,
    config: FitConfig,
    *,
    seed: int,
    begin: Fitted | None = None,
    seen: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> Fitted:
    """The network that answers ``rows`` best, learned from scratch or from ``begin``; ``seen`` hears of each epoch.

    InputError where there are too few rows; RunError where the weights are no longer finite.
    """
    if len(rows) < 2 * config.batch:
        what = f"{len(rows)} rows to learn from"
        raise InputError(what, where="cloning", right=f"{2 * config.batch} or more, or a smaller batch")
    rng = np.random.default_rng(seed)
    learned, held = _split(rows, config.held_back, rng)
    symmetry = HandSymmetry(hand) if config.symmetric else None
    seen_rows, actions, weights = _plain(learned) if symmetry is None else _turned(learned, symmetry)
    normaliser = begin.normaliser if begin is not None else _normaliser(seen_rows, config)
    x = torch.as_tensor(normaliser(seen_rows.astype(np.float64)).astype(np.float32))
    y, w = torch.as_tensor(actions), torch.as_tensor(weights)
    network = _network(x.shape[1], y.shape[1], config, seed)
    if begin is not None:
        _load(network, begin.layers)
    part = ReorientObservation(hand).slices["previous_action"]
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.decay)
    batches = max(len(x) // config.batch, 1)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs * batches)
    draws = torch.Generator().manual_seed(seed)
    for epoch in range(config.epochs):
        total = 0.0
        order = torch.randperm(len(x), generator=draws)
        for k in range(batches):
            chosen = order[k * config.batch : (k + 1) * config.batch]
            given = x[chosen]
            if config.noise > 0.0:
                given = given + config.noise * torch.randn(given.shape, generator=draws)
            if config.forget > 0.0:
                hidden = torch.rand((len(chosen), 1), generator=draws) < config.forget
                others = x[torch.randint(len(x), (len(chosen),), generator=draws), part]
                given[:, part] = torch.where(hidden, others, given[:, part])
            loss = (w[chosen, None] * (network(given) - y[chosen]) ** 2).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            plan.step()
            total += float(loss.detach())
        if not np.isfinite(total):
            raise RunError(f"epoch {epoch + 1} broke down", where="cloning", right="a lower rate")
        seen(epoch + 1, total / batches)
    layers = _layers(network)
    return _judged(Fitted(layers, normaliser, 0.0, 0.0, 0.0, symmetry), held if len(held) else learned)


def _split(rows: Rows, share: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows to learn from, and those of some episodes to judge by."""
    episodes = np.unique(rows.episode)
    held = rng.permutation(episodes)[: round(share * len(episodes))]
    back = np.isin(rows.episode, held)
    return rows.some(~back), rows.some(back)


def _plain(rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    return rows.observations, rows.actions, rows.weights


def _turned(rows: Rows, symmetry: HandSymmetry) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The rows under every turn of the hand by whole fingers, and what the finger in the first place does."""
    seen = (
        symmetry.copies(rows.observations.astype(np.float64)).astype(np.float32).reshape(-1, rows.observations.shape[1])
    )
    of_first = symmetry.turned_actions(rows.actions.astype(np.float64))[..., : symmetry.joints]
    actions = of_first.astype(np.float32).reshape(-1, symmetry.joints)
    return seen, actions, np.repeat(rows.weights, symmetry.order)


def _normaliser(seen: NDArray[np.float32], config: FitConfig) -> Normaliser:
    mean = seen.mean(axis=0, dtype=np.float64)
    std = np.sqrt(seen.var(axis=0, dtype=np.float64) + STD_FLOOR**2)
    return Normaliser(mean, std, config.normaliser_clip)


def _network(width: int, dof: int, config: FitConfig, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts: list[nn.Module] = []
        for k in range(config.layers):
            parts += [nn.Linear(width if k == 0 else config.width, config.width), nn.ELU()]
        return nn.Sequential(*parts, nn.Linear(config.width, dof))


def _linear(network: nn.Sequential) -> list[Any]:
    return [part for part in network if isinstance(part, nn.Linear)]


def _load(network: nn.Sequential, layers: list[tuple[Array, Array]]) -> None:
    with torch.no_grad():
        for part, (weight, bias) in zip(_linear(network), layers, strict=True):
            part.weight.copy_(torch.as_tensor(weight))
            part.bias.copy_(torch.as_tensor(bias))


def _layers(network: nn.Sequential) -> list[tuple[Array, Array]]:
    pairs = [(part.weight.detach().numpy(), part.bias.detach().numpy()) for part in _linear(network)]
    return [(weight.astype(np.float64), bias.astype(np.float64)) for weight, bias in pairs]


def _judged(fitted: Fitted, rows: Rows) -> Fitted:
    """The same with its errors on ``rows``."""
    given = np.clip(fitted.act(rows.observations.astype(np.float64)), -1.0, 1.0)
    weights = rows.weights[:, None] / rows.weights.sum() / given.shape[1]
    mean = (weights * rows.actions).sum(axis=0) * given.shape[1]
    error = float((weights * (given - rows.actions) ** 2).sum())
    spread = float((weights * (mean - rows.actions) ** 2).sum())
    return replace(fitted, error=error, spread=spread, std=float(np.sqrt(error)))
