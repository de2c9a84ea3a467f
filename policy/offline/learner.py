"""What every offline learner is: an update by a batch, an action, a value, and a state to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.policy.offline.transitions import Transitions

Figures = dict[str, float]
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Batch:
    """B transitions as tensors: ``observations`` (B, O), ``actions`` (B, A), ``rewards`` (B,), ``next_observations``,
    and ``lasts`` (B,), which is 1 unless the task ended there: what comes after an end is worth nothing."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    lasts: Tensor

    def __len__(self) -> int:
        return len(self.rewards)


class Rows:
    """All rows that are learned from, as tensors; batches are drawn from them with replacement."""

    def __init__(self, transitions: Transitions, dtype: torch.dtype = torch.float32) -> None:
        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(dtype)

        self.all = Batch(
            tensor(transitions.observations),
            tensor(transitions.actions),
            tensor(transitions.rewards),
            tensor(transitions.next_observations),
            tensor(~transitions.terminated),
        )

    def draw(self, count: int, rng: np.random.Generator) -> Batch:
        """``count`` rows."""
        index = torch.from_numpy(rng.integers(0, len(self.all), count))
        whole = self.all
        return Batch(
            whole.observations.index_select(0, index),
            whole.actions.index_select(0, index),
            whole.rewards.index_select(0, index),
            whole.next_observations.index_select(0, index),
            whole.lasts.index_select(0, index),
        )


class Learner(Protocol):
    """An offline learner. Actions are -1 to 1; randomness comes with the call, so that it can be kept by the caller."""

    def update(self, batch: Batch, rng: np.random.Generator, *, explain: bool = False) -> Figures:
        """One step of learning; the figures that explain it where ``explain`` is asked for, nothing otherwise."""

    def act(self, observations: Tensor) -> Tensor:
        """The actions (N, A), without noise, -1 to 1."""

    def value(self, observations: Tensor) -> Tensor | None:
        """How much observations (N, O) are worth (N,); None for a learner that has no such opinion."""

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays by name and plain facts, from which `restore` goes on bit for bit."""

    def restore(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Put back what `capture` gave. KeyError or RuntimeError where it does not fit."""


def effective_share(weights: Tensor) -> float:
    """The effective sample size of ``weights`` (B,) over B, 1 where all are the same; 0 where all are 0."""
    squares = float((weights * weights).sum())
    return float(weights.sum()) ** 2 / (len(weights) * squares) if squares > 0.0 else 0.0


def scrambled(observations: Tensor) -> Tensor:
    """Rows (B, O) that nobody saw: each column is that of another row, so columns fit their own range and no other.

    Nothing is drawn: column j comes from (j + 1) shares of the batch further on.
    """
    count, columns = observations.shape
    shift = [1 + (j * max(count // (columns + 1), 1)) % max(count - 1, 1) for j in range(columns)]
    return torch.stack([torch.roll(observations[:, j], -s) for j, s in enumerate(shift)], dim=1)


def out_of_distribution(learner: Learner, observations: Tensor) -> Figures:
    """How much scrambled observations are worth, in deviations of the seen ones' worth: above 0 is a warning."""
    seen, unseen = learner.value(observations), learner.value(scrambled(observations))
    if seen is None or unseen is None:
        return {}
    spread = float(seen.std()) + 1e-8
    return {"value": float(seen.mean()), "value_unseen_z": (float(unseen.mean()) - float(seen.mean())) / spread}


def require_batch(size: int) -> None:
    """InputError for a batch of no rows."""
    if size < 1:
        raise InputError("no rows in a batch", where="batch", right="1 or more")
