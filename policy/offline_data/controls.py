"""What a learner must beat: the recording played back by likeness, and what is learned from actions without sense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.episode import Floats
from knuckle.policy.offline_data.observation_scale import ObservationScale


class NearestDemonstration:
    """Does what was done where it looked most alike: the action of the nearest recorded observation.

    Near by the square distance of observations over their deviations in ``data``, which must be as recorded.
    """

    def __init__(self, data: Dataset) -> None:
        if data.scale is not None:
            raise InputError("its observations are normalised", where=data.name, right="data as recorded")
        seen = np.concatenate([episode.observations[:-1] for episode in data.episodes])
        self._scale = ObservationScale.of(seen)
        self._seen = self._scale(seen)
        self._squares = (self._seen**2).sum(axis=1)
        self._done = np.concatenate([episode.actions for episode in data.episodes])

    def act(self, observations: NDArray[np.floating], rng: np.random.Generator | None = None) -> Floats:
        """Actions (n, A) for observations (n, O)."""
        # |a - b|^2 = |a|^2 - 2 a b + |b|^2, of which the first is the same for all.
        nearest = (self._squares - 2.0 * self._scale(observations) @ self._seen.T).argmin(axis=1)
        return np.asarray(self._done[nearest])


def shuffled_actions(data: Dataset, rng: np.random.Generator) -> Dataset:
    """``data`` with its actions drawn anew among its steps: every column as it was, and no sense left in them."""
    actions = np.concatenate([episode.actions for episode in data.episodes])
    drawn = actions[rng.permutation(len(actions))]
    ends = np.cumsum([len(episode) for episode in data.episodes])
    parts = np.split(drawn, ends[:-1])
    pairs = zip(data.episodes, parts, strict=True)
    episodes = tuple(replace(episode, actions=part) for episode, part in pairs)
    return replace(data, name=f"{data.name}-shuffled", episodes=episodes)
