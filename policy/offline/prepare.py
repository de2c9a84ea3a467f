"""What a learner is given of a data set: rewards and observations scaled as its authors do, actions -1 to 1."""

from __future__ import annotations

import dataclasses

import numpy as np

from knuckle.core.errors import InputError, unknown_name
from knuckle.policy.offline.transitions import Transitions
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.reward_scale import RULES

AUTO = "auto"
REWARDS = (AUTO, *RULES)
OBSERVATIONS = (AUTO, "scaled", "raw")

_LOCOMOTION = ("Hopper-v5", "Walker2d-v5")
_SCALES_REWARDS = ("odice", "odice-semi", "odice-true", "iql")
"""Learners whose authors multiply rewards by 1000 over the range of returns, and where only a goal is rewarded count a
step as -1 (IQL) or -3 (O-DICE). Here -1 for both: at -3 the value of a maze goes to -300, and in thousands of steps
instead of a million O-DICE learned nothing of it, see docs/experiments/2026-11-27-offline-learners.md."""
_MAZE, _HAND = "PointMaze", "knuckle/"
_RAW_LOCOMOTION = ("odice", "odice-semi", "odice-true")
_RAW_MAZE = (*_RAW_LOCOMOTION, "iql")
"""Learners whose authors give them locomotion, and mazes, as they are. On what O-DICE's did not try, a door and a hand,
whose columns are of several units, it is given what its rivals are."""


def prepared(data: Dataset, learner: str, *, rewards: str = AUTO, observations: str = AUTO) -> Dataset:
    """``data`` as ``learner`` is given it; ``auto`` is what the learner's authors do with data of that environment.

    InputError for another rule, or where the data are scaled already and another scale is asked for.
    """
    if observations not in OBSERVATIONS:
        raise unknown_name("rule for observations", observations, OBSERVATIONS, where="--observations")
    if rewards not in REWARDS:
        raise unknown_name("rule for rewards", rewards, REWARDS, where="--rewards")
    if rewards == AUTO:
        rewards = "none"
        if learner in _SCALES_REWARDS and data.reward_rule == "none":
            rewards = "return_range" if data.environment in _LOCOMOTION else rewards
            rewards = "minus_one" if data.environment.startswith((_MAZE, _HAND)) else rewards
    if rewards != "none":
        data = data.scale_rewards(rewards)
    raw = learner in _RAW_LOCOMOTION and data.environment in _LOCOMOTION
    raw = raw or (learner in _RAW_MAZE and data.environment.startswith(_MAZE))
    if observations == "scaled" or (observations == AUTO and not raw and data.scale is None):
        data = data.normalise_observations()
    return data


def unit_transitions(data: Dataset) -> Transitions:
    """The transitions of ``data``, with actions -1 to 1 instead of ``low`` to ``high``; InputError where these are not
    finite."""
    if not (np.isfinite(data.low).all() and np.isfinite(data.high).all()):
        raise InputError("an action space without bounds", where=data.name, right="finite low and high")
    recorded = np.concatenate([episode.actions for episode in data.episodes])
    unit = (2.0 * (recorded - data.low) / (data.high - data.low) - 1.0).clip(-1.0, 1.0)
    return dataclasses.replace(data.transitions(), actions=unit.astype(np.float32))
