"""The planner's episodes as transitions to learn from, out of collections of ``knuckle collect``."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.collect.collection import open_collection
from knuckle.policy.collect.recorder import Episode
from knuckle.policy.hindsight.transitions import Transitions
from knuckle.sim.reorient.observation import ReorientObservation


class PlannerEpisodes:
    """Transitions of ``episodes``, one after the other: those of a planner, whatever became of them."""

    def __init__(self, build: ReorientObservation, episodes: Sequence[Episode]) -> None:
        self._lies = build.slices["object_quaternion"]
        self.before = np.concatenate([episode.observations[:-1] for episode in episodes]).astype(np.float32)
        self.after = np.concatenate([episode.observations[1:] for episode in episodes]).astype(np.float32)
        self.actions = np.concatenate([episode.actions for episode in episodes]).astype(np.float32)
        lengths = [len(episode.actions) for episode in episodes]
        self.last: NDArray[np.int64] = np.repeat(np.cumsum(lengths) - 1, lengths)

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def mark(self) -> int:
        """A number that other episodes would not have."""
        return zlib.crc32(self.actions.tobytes(), zlib.crc32(self.before.tobytes()))

    def draw(self, rng: np.random.Generator, n: int, future: int) -> Transitions:
        """``n`` transitions, uniform, and how the object lay 1 to ``future`` control steps later in their episodes, or
        at their end."""
        row = rng.integers(0, len(self), n)
        ahead = np.minimum(row + rng.integers(1, future + 1, n), self.last[row])
        every = np.ones(n, dtype=bool)
        later = self.before[ahead, self._lies]
        return Transitions(self.before[row], self.actions[row], self.after[row], ~every, later, every)


def read_planner_episodes(folders: Sequence[str], hand: HandSpec, *, where: str) -> PlannerEpisodes:
    """All episodes in the collections in ``folders``.

    InputError in one line where a folder holds no collection, one of another hand, or an episode that cannot be read,
    is of another width, or holds numbers that are not finite.
    """
    build, episodes = ReorientObservation(hand), list[Episode]()
    for name in folders:
        path = Path(name)
        collection = open_collection(path)
        if (of := collection.settings.get("hand")) != hand.name:
            raise InputError(f"the collection in '{name}' is of {of}", where=where, right=f"episodes of {hand.name}")
        for k in collection.kept():
            episode = collection.read(k)
            _require_sound(episode, build, str(collection.file(k)))
            if len(episode.actions):
                episodes.append(episode)
    if not episodes:
        what = f"no episode in '{'+'.join(folders)}' has a step"
        raise InputError(what, where=where, right="collections of knuckle collect, with + between")
    return PlannerEpisodes(build, episodes)


def _require_sound(episode: Episode, build: ReorientObservation, where: str) -> None:
    """InputError where ``episode`` cannot be learned from."""
    seen, done = episode.observations, episode.actions
    right = f"an episode of {build.hand.name}; delete it and collect again"
    if seen.shape != (len(done) + 1, build.width) or done.shape[1:] != (build.hand.dof,):
        raise InputError(f"observations {seen.shape} and actions {done.shape}", where=where, right=right)
