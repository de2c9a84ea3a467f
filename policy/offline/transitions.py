"""Recorded transitions, as every offline learner reads them: plain arrays, checked once, at the door."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

FLOAT, BOOL, INT = np.dtype(np.float32), np.dtype(np.bool_), np.dtype(np.int64)

_SHAPES: dict[str, tuple[int, np.dtype[np.generic]]] = {
    "observations": (2, FLOAT),
    "actions": (2, FLOAT),
    "rewards": (1, FLOAT),
    "next_observations": (2, FLOAT),
    "terminated": (1, BOOL),
    "truncated": (1, BOOL),
    "episode": (1, INT),
}


@dataclass(frozen=True)
class Transitions:
    """N steps of recorded experience, row by row; the rows of an episode stand together and in order.

    Observations are (N, O) float32, actions (N, A) float32, rewards (N,) float32, ``next_observations`` what was seen
    after the step, also after an episode's last one. ``terminated`` (N,) bool: the task itself ended there and nothing
    is worth anything after it; ``truncated`` (N,) bool: the recording merely stopped. ``episode`` (N,) int64 numbers
    the episodes. InputError where these do not fit together, in one line.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    next_observations: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    episode: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, (axes, dtype) in _SHAPES.items():
            _check(name, getattr(self, name), axes, dtype)
        count = len(self.observations)
        if count == 0:
            raise InputError("no steps", where="transitions", right="at least one recorded step")
        for name in _SHAPES:
            if (found := len(getattr(self, name))) != count:
                right = f"{count}, as many as observations"
                raise InputError(f"{found} rows", where=f"transitions {name}", right=right)
        if (wide := self.next_observations.shape[1]) != self.observations.shape[1]:
            right = f"{self.observations.shape[1]}, as observations"
            raise InputError(f"{wide} columns", where="transitions next_observations", right=right)
        if 0 in (self.observations.shape[1], self.actions.shape[1]):
            raise InputError("no columns", where="transitions", right="observations and actions of at least one column")

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def observation_width(self) -> int:
        """O, the columns of an observation."""
        return int(self.observations.shape[1])

    @property
    def action_width(self) -> int:
        """A, the columns of an action."""
        return int(self.actions.shape[1])

    def take(self, rows: NDArray[np.generic]) -> Transitions:
        """The transitions of ``rows``, a mask (N,) or indices, in that order."""
        return Transitions(**{name: getattr(self, name)[rows] for name in _SHAPES})

    def with_rewards(self, rewards: NDArray[np.generic]) -> Transitions:
        """The same steps with other rewards (N,)."""
        return dataclasses.replace(self, rewards=np.asarray(rewards, dtype=np.float32))

    def episode_returns(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The numbers of the episodes, ascending, and the sum of the rewards of each, undiscounted."""
        numbers, where = np.unique(self.episode, return_inverse=True)
        return numbers, np.bincount(where, weights=self.rewards.astype(np.float64)).astype(np.float64)

    def split(self, share: float, rng: np.random.Generator) -> tuple[Transitions, Transitions]:
        """Whole episodes, drawn: those to learn from, and ``share`` of them (at least one) to validate on.

        InputError where there are fewer than two episodes.
        """
        numbers = np.unique(self.episode)
        if len(numbers) < 2:
            raise InputError("one episode cannot be split", where="transitions", right="two episodes or more")
        count = min(max(1, round(share * len(numbers))), len(numbers) - 1)
        held = np.isin(self.episode, rng.permutation(numbers)[:count])
        return self.take(~held), self.take(held)


def _check(name: str, array: object, axes: int, dtype: np.dtype[np.generic]) -> None:
    where, right = f"transitions {name}", f"an array of {dtype} with {axes} {'axes' if axes > 1 else 'axis'}"
    if not isinstance(array, np.ndarray):
        raise InputError(f"{type(array).__name__} is no array", where=where, right=right)
    if array.ndim != axes or array.dtype != dtype:
        raise InputError(f"{array.dtype} of shape {array.shape}", where=where, right=right)
    if array.dtype == FLOAT and not (finite := np.isfinite(array)).all():
        row = int(np.argwhere(~finite)[0][0])
        raise InputError(f"row {row} is not finite", where=where, right="numbers without NaN or infinity")
