"""Behaviour cloning, and of the best episodes alone ("10% BC", Chen et al., "Decision Transformer", 2021).

    L = E_D[ mean over columns of (a - mu(s))^2 ],   mu(s) = tanh of a network

Defaults are CORL's. Episodes are ranked by their discounted returns.
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
from knuckle.policy.offline.gaussian_actor import GaussianActor
from knuckle.policy.offline.learner import Arrays, Batch, Figures
from knuckle.policy.offline.transitions import Transitions


@dataclass(frozen=True)
class BcConfig:
    """CORL's defaults; ``best_share`` 0.1 is 10% BC."""

    best_share: float = setting(1.0, "share of the episodes, the best, that is cloned", low=0.0, high=1.0)
    gamma: float = setting(0.99, "discount of the returns that say which are the best", low=0.0, high=1.0)
    squash: bool = setting(True, "tanh of the mean")
    width: int = setting(256, "units of each of two hidden layers", low=1, high=8192)
    rate: float = setting(3e-4, "Adam's rate", low=0.0, high=1.0)
    batch: int = setting(256, "rows a step", low=1, high=1 << 20)


def best_episodes(transitions: Transitions, share: float, gamma: float) -> Transitions:
    """The steps of the ``share`` of episodes, one at least, with the highest returns discounted by ``gamma``."""
    numbers, first, where = np.unique(transitions.episode, return_index=True, return_inverse=True)
    age = np.arange(len(transitions)) - first[where]
    returns = np.bincount(where, weights=transitions.rewards * gamma ** age.astype(np.float64))
    best = numbers[np.argsort(-returns, kind="stable")[: max(1, int(share * len(numbers)))]]
    return transitions.take(np.isin(transitions.episode, best))


class Bc:
    """Cloning for observations and actions of so many columns, begun from ``rng``. Which rows, `best_episodes` says."""

    def __init__(
        self, config: BcConfig, columns: tuple[int, int], rng: np.random.Generator, dtype: torch.dtype = torch.float32
    ) -> None:
        self.config, self._columns = config, columns[1]
        sizes = (columns[0], config.width, config.width, columns[1])
        self.policy = GaussianActor(sizes, rng, rate=config.rate, squash=config.squash, deviation=False, dtype=dtype)

    def update(self, batch: Batch, rng: np.random.Generator, *, explain: bool = False) -> Figures:
        """One step on the policy."""
        w = torch.full_like(batch.rewards, 1.0 / self._columns)
        loss = self.policy.regress(batch.observations, batch.actions, w)
        return {"policy_loss": loss} if explain else {}

    def act(self, observations: Tensor) -> Tensor:
        """The policy's mean (N, A), -1 to 1."""
        return self.policy.mean(observations)

    def value(self, observations: Tensor) -> Tensor | None:
        """None: cloning has no opinion of what an observation is worth."""
        return None

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Weights and Adam's moments."""
        return self.policy.adam.capture("policy"), {}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Put back what `capture` gave."""
        self.policy.adam.restore("policy", arrays)
