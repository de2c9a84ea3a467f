"""What a learner is given of a data set: rewards and observations scaled as its authors do."""

from __future__ import annotations

from knuckle.core.errors import unknown_name
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.reward_scale import RULES

AUTO = "auto"
REWARDS = (AUTO, *RULES)
OBSERVATIONS = (AUTO, "scaled", "raw")

_LOCOMOTION = ("Hopper-v5", "Walker2d-v5")
_SCALES_REWARDS = ("odice", "odice-semi", "odice-true", "iql")
"""Learners whose authors multiply rewards by 1000 over the range of returns; on mazes they count a step as -3, 0, or
-1 (IQL): here -3."""
_RAW_OBSERVATIONS = ("odice", "odice-semi", "odice-true")


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
            rewards = "minus_three" if data.environment.startswith("PointMaze") else rewards
    if rewards != "none":
        data = data.scale_rewards(rewards)
    if observations == "scaled" or (observations == AUTO and learner not in _RAW_OBSERVATIONS and data.scale is None):
        data = data.normalise_observations()
    return data
