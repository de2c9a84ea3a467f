"""`Dataset`: recorded episodes of one task and one action space, and what a learner is given of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.offline.transitions import Transitions
from knuckle.policy.offline_data.episode import Episode, Floats
from knuckle.policy.offline_data.observation_scale import ObservationScale
from knuckle.policy.offline_data.reward_scale import flat_warning, scaled_rewards

TOLERANCE = 1e-5
"""How far an action may be outside the space: what is stored in single precision was rounded."""
TIMEOUTS = ("keep", "drop")


@dataclass(frozen=True)
class Dataset:
    """``episodes`` of one task, ``name`` as people call it; actions between ``low`` and ``high`` (A,).

    ``environment`` is the gymnasium id they were recorded in, empty where nobody noted it. ``reward_rule`` is what
    was done to the rewards, ``reward_factor`` what they were multiplied by, ``scale`` what observations went through.
    InputError where there is no episode, widths differ, or an action is outside the space.
    """

    name: str
    episodes: tuple[Episode, ...]
    low: Floats
    high: Floats
    environment: str = ""
    reward_rule: str = "none"
    reward_factor: float = 1.0
    scale: ObservationScale | None = None

    def __post_init__(self) -> None:
        where = self.name
        if not self.episodes:
            raise InputError("no episode in it", where=where, right="one or more")
        first = self.episodes[0]
        widths = (first.observations.shape[1], first.actions.shape[1])
        for k, episode in enumerate(self.episodes):
            if (found := (episode.observations.shape[1], episode.actions.shape[1])) != widths:
                what = f"episode {k} has {found[0]} observations and {found[1]} actions"
                raise InputError(what, where=where, right=f"{widths[0]} and {widths[1]}, as episode 0")
        if self.low.shape != (widths[1],) or self.high.shape != (widths[1],):
            what = f"a space of {self.low.shape} and {self.high.shape} for {widths[1]} actions"
            raise InputError(what, where=where, right=f"low and high ({widths[1]},)")
        for k, episode in enumerate(self.episodes):
            outside = (episode.actions < self.low - TOLERANCE) | (episode.actions > self.high + TOLERANCE)
            if outside.any():
                row, column = np.argwhere(outside)[0]
                what = f"action {column} of step {row} in episode {k} is {episode.actions[row, column]:g}"
                right = f"{self.low[column]:g} to {self.high[column]:g}, or actions clipped as the environment does"
                raise InputError(what, where=where, right=right)

    @property
    def observations(self) -> int:
        """O, the width of an observation."""
        return int(self.episodes[0].observations.shape[1])

    @property
    def actions(self) -> int:
        """A, the width of an action."""
        return int(self.episodes[0].actions.shape[1])

    @property
    def steps(self) -> int:
        """The steps of all episodes."""
        return sum(len(episode) for episode in self.episodes)

    def returns(self) -> NDArray[np.float64]:
        """The undiscounted return of each episode, of the rewards as they are here."""
        return np.array([episode.total for episode in self.episodes])

    def __add__(self, other: Dataset) -> Dataset:
        """Both, the episodes of ``other`` last; InputError where they are of different tasks or scaled differently."""
        where = f"{self.name} and {other.name}"
        mine, theirs = (self.observations, self.actions), (other.observations, other.actions)
        if mine != theirs:
            what = f"{mine[0]} observations and {mine[1]} actions, {theirs[0]} and {theirs[1]}"
            raise InputError(what, where=where, right="data of one task")
        if self.environment and other.environment and self.environment != other.environment:
            what = f"recorded in {self.environment} and in {other.environment}"
            raise InputError(what, where=where, right="data of one environment")
        if not (np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)):
            raise InputError("their action spaces differ", where=where, right="data of one action space")
        scaled = [(part.reward_rule, part.reward_factor) for part in (self, other)]
        if scaled[0] != scaled[1] or self.scale != other.scale:
            what = "one is scaled and the other is not, or differently"
            raise InputError(what, where=where, right="merge first, scale after")
        named = f"{self.name}+{other.name}"
        environment = self.environment or other.environment
        return replace(self, name=named, episodes=self.episodes + other.episodes, environment=environment)

    def split(self, share: float, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
        """Whole episodes, drawn: those to learn from, and ``share`` of them (one at least) to validate on."""
        count = len(self.episodes)
        if count < 2:
            raise InputError("one episode cannot be split", where=self.name, right="two or more")
        held = set(rng.permutation(count)[: min(max(1, round(share * count)), count - 1)].tolist())
        kept = tuple(episode for k, episode in enumerate(self.episodes) if k not in held)
        return replace(self, episodes=kept), replace(self, episodes=tuple(self.episodes[k] for k in sorted(held)))

    def select(self, wanted: Callable[[Episode], bool], *, what: str) -> Dataset:
        """The episodes that are ``wanted``; InputError that says no ``what`` episode is there, where none is."""
        found = tuple(episode for episode in self.episodes if wanted(episode))
        if not found:
            raise InputError(f"no {what} episode among {len(self.episodes)}", where=self.name, right="other data")
        return replace(self, episodes=found)

    def episode(self, k: int) -> Dataset:
        """Episode ``k``, from 0, alone; InputError where there is no such one."""
        if not 0 <= k < len(self.episodes):
            raise InputError(f"no episode {k}", where=self.name, right=f"0 to {len(self.episodes) - 1}")
        return replace(self, name=f"{self.name}:{k}", episodes=(self.episodes[k],))

    def successful(self) -> Dataset:
        """The episodes that succeeded; InputError where none did, or nobody noted it."""
        if all(episode.succeeded is None for episode in self.episodes):
            right = "data recorded with their success"
            raise InputError("it does not say which episodes succeeded", where=self.name, right=right)
        return self.select(lambda episode: bool(episode.succeeded), what="successful")

    def best(self, share: float) -> Dataset:
        """The ``share`` of episodes with the highest returns, one at least, in their order: what 10% BC learns from."""
        count = max(1, round(share * len(self.episodes)))
        chosen = np.sort(np.argsort(-self.returns(), kind="stable")[:count])
        return replace(self, episodes=tuple(self.episodes[k] for k in chosen))

    def first_steps(self, steps: int) -> Dataset:
        """The episodes from the first on until ``steps`` are in it: of a replay, what a shorter run would have seen."""
        ends = np.cumsum([len(episode) for episode in self.episodes])
        return replace(self, episodes=self.episodes[: int(np.searchsorted(ends, steps)) + 1])

    def scale_rewards(self, rule: str = "return_range") -> Dataset:
        """Rewards by ``rule``, see `reward_scale`; InputError where they are scaled already."""
        if self.reward_rule != "none":
            raise InputError("its rewards are scaled already", where=self.name, right="data as recorded")
        arrays, factor = scaled_rewards([episode.rewards for episode in self.episodes], rule, where=self.name)
        pairs = zip(self.episodes, arrays, strict=True)
        episodes = tuple(replace(episode, rewards=rewards) for episode, rewards in pairs)
        return replace(self, episodes=episodes, reward_rule=rule, reward_factor=factor)

    def flat_warning(self) -> str:
        """One line where the chi-square dual of O-DICE would be flat at too many of its rewards, see `reward_scale`."""
        what = "rewards as recorded" if self.reward_rule == "none" else "scaled rewards"
        return flat_warning(np.concatenate([episode.rewards for episode in self.episodes]), what=what)

    def normalise_observations(self, scale: ObservationScale | None = None) -> Dataset:
        """Observations less their mean, over their deviation; or by ``scale``, that of other data."""
        if self.scale is not None:
            raise InputError("its observations are normalised already", where=self.name, right="data as recorded")
        scale = scale or ObservationScale.of(np.concatenate([e.observations[:-1] for e in self.episodes]))
        if len(scale.mean) != self.observations:
            what = f"a scale of {len(scale.mean)} for {self.observations} observations"
            raise InputError(what, where=self.name, right="the scale of data of this task")
        pairs = tuple(replace(e, observations=scale(e.observations)) for e in self.episodes)
        return replace(self, episodes=pairs, scale=scale)

    def require_shapes(self, observations: int, actions: int, *, task: str) -> None:
        """InputError where ``task``, of these widths, is another than the one it was recorded in."""
        if (self.observations, self.actions) != (observations, actions):
            what = f"{self.observations} observations and {self.actions} actions"
            right = f"the {observations} and {actions} of {task}"
            raise InputError(what, where=self.name, right=right)

    def transitions(self, *, timeouts: str = "keep") -> Transitions:
        """All steps in order, as a learner reads them; actions as they were recorded, ``low`` to ``high``.

        The observation after an episode's last step is kept here, so a step at a time limit is a step like others:
        ``truncated``, not ``terminated``, and worth what follows. D4RL's qlearning_dataset does not know what follows
        and leaves those steps out; ``timeouts="drop"`` does the same, to compare with it.
        """
        if timeouts not in TIMEOUTS:
            raise InputError(f"timeouts '{timeouts}'", where=self.name, right=f"one of: {', '.join(TIMEOUTS)}")
        ends = np.cumsum([len(episode) for episode in self.episodes]) - 1
        over = np.array([episode.terminated for episode in self.episodes])
        terminated, truncated = np.zeros(self.steps, dtype=np.bool_), np.zeros(self.steps, dtype=np.bool_)
        terminated[ends], truncated[ends] = over, ~over
        numbers = np.repeat(np.arange(len(self.episodes)), [len(episode) for episode in self.episodes])
        whole = Transitions(
            observations=np.concatenate([episode.observations[:-1] for episode in self.episodes]),
            actions=np.concatenate([episode.actions for episode in self.episodes]),
            rewards=np.concatenate([episode.rewards for episode in self.episodes]),
            next_observations=np.concatenate([episode.observations[1:] for episode in self.episodes]),
            terminated=terminated,
            truncated=truncated,
            episode=numbers.astype(np.int64),
        )
        return whole.take(~truncated) if timeouts == "drop" else whole


def merged(parts: Sequence[Dataset]) -> Dataset:
    """All of ``parts`` one after another, see `Dataset.__add__`."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole
