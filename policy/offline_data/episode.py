"""A recorded episode, checked at the door: what was seen, done and earned, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Episode:
    """T steps: ``observations`` (T+1, O), the last one what was seen after the last step; ``actions`` (T, A),
    ``rewards`` (T,); all float32.

    ``terminated``: the task itself ended there and nothing is worth anything after it. Otherwise the recording merely
    stopped, at a time limit or because it was cut. ``facts``, which JSON can hold, say more: ``succeeded`` where
    success is known. InputError where lengths differ, nothing was done, or a number is not finite.
    """

    observations: Floats
    actions: Floats
    rewards: Floats
    terminated: bool
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where, steps = "episode", len(self.rewards)
        for name, axes in (("observations", 2), ("actions", 2), ("rewards", 1)):
            array = getattr(self, name)
            if array.ndim != axes or array.dtype != np.float32:
                what = f"{name} are {array.dtype} of shape {array.shape}"
                raise InputError(what, where=where, right=f"float32 with {axes} axes")
            if not (finite := np.isfinite(array)).all():
                row = int(np.argwhere(~finite)[0][0])
                raise InputError(f"row {row} of {name} is not finite", where=where, right="numbers without NaN")
        if steps == 0:
            raise InputError("it has no step", where=where, right="one action or more")
        if len(self.actions) != steps or len(self.observations) != steps + 1:
            what = f"{len(self.observations)} observations, {len(self.actions)} actions and {steps} rewards"
            raise InputError(what, where=where, right="one observation more than actions, and a reward for each action")

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def total(self) -> float:
        """The sum of its rewards, undiscounted."""
        return float(self.rewards.sum(dtype=np.float64))

    @property
    def succeeded(self) -> bool | None:
        """Whether the task was done; None where nobody noted it."""
        value = self.facts.get("succeeded")
        return None if value is None else bool(value)


def episode_of(
    observations: NDArray[Any],
    actions: NDArray[Any],
    rewards: NDArray[Any],
    terminated: bool,
    facts: Mapping[str, Any],
    *,
    where: str,
) -> Episode:
    """An episode from arrays of any number type, long axes flattened; InputError that begins with ``where``."""
    try:
        seen, done, earned = (np.asarray(a, dtype=np.float32) for a in (observations, actions, rewards))
    except (ValueError, TypeError) as error:
        raise InputError(f"they are no numbers ({error})", where=where, right="arrays of numbers") from error
    seen = seen.reshape(len(seen), -1) if seen.ndim > 2 else seen
    try:
        return Episode(seen, done, earned.reshape(-1), bool(terminated), dict(facts))
    except InputError as error:
        raise InputError(error.what, where=where, right=error.right) from error
