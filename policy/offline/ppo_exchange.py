"""A run's policy as a zip of Stable-Baselines3's PPO, to be tuned online, and a run that begins with such a zip.

What was learned goes over weight by weight, so the copy predicts the same; the value goes along where it is one without
layer norm (``--set twin=false,norm=false``). A zip is read as everywhere here: nothing pickled in it is decoded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from knuckle.core.errors import InputError, RunError
from knuckle.policy.offline_data.learned_weights import begin_from, learned_weights, value_layers
from knuckle.policy.offline_data.sb3_actor import actor_weights
from knuckle.policy.sb3_zip import read_zip

if TYPE_CHECKING:
    from knuckle.policy.offline.offline_run import OfflineRun
    from knuckle.policy.offline_data.dataset import Dataset


class SpacesOnly(gymnasium.Env[Any, Any]):
    """The spaces of ``data`` and nothing else: all that PPO asks of an environment before it learns in one."""

    def __init__(self, data: Dataset) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (data.observations,), np.float32)
        self.action_space = spaces.Box(data.low, data.high)


def ppo_copy(run: OfflineRun) -> tuple[Any, bool]:
    """A PPO model that predicts as the policy of ``run`` does, and whether its value went along.

    InputError for a learner whose policy PPO cannot be (a mean through tanh); RunError without Stable-Baselines3.
    """
    try:
        from knuckle.policy.offline_data.sb3_ppo import to_ppo
    except ImportError as error:
        what, right = "Stable-Baselines3 is not installed", "pip install 'knuckle[learn]'"
        raise RunError(what, where="copy to PPO", right=right) from error
    try:
        value = value_layers(run.fit.learner)
    except InputError:
        value = None
    actor = learned_weights(run.fit.learner, run.data)
    return to_ppo(actor, SpacesOnly(run.data), value=value, seed=run.plan.seed), value is not None


def save_ppo(run: OfflineRun, path: Path) -> bool:
    """Write `ppo_copy` to ``path``, whole or not at all; whether its value went along. RunError where it cannot be
    written."""
    model, valued = ppo_copy(run)
    partial = path.with_name(f".{path.name}.partial.zip")
    try:
        model.save(partial)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot be written: {error.strerror}", where=str(path), right="another place") from error
    return valued


def begin_with(learner: Any, data: Dataset, path: Path) -> None:
    """Give ``learner``, which is to learn from ``data``, the policy of the agent in the zip at ``path``.

    InputError where the zip cannot be used, or the learner's networks are of other sizes than the agent's.
    """
    actor = actor_weights(read_zip(path))
    if (actor.observations, actor.actions) != (data.observations, data.actions):
        what = f"the agent has {actor.observations} observations and {actor.actions} actions"
        raise InputError(what, where=str(path), right=f"the {data.observations} and {data.actions} of {data.name}")
    begin_from(learner, actor, data)


def require_linear(settings: Any, *, where: str = "--ppo") -> None:
    """InputError where a learner of ``settings`` has a policy that PPO cannot be, known before anything is learned."""
    if getattr(settings, "squash", True):
        right = "odice, or bc with squash=false"
        raise InputError("the learner's mean goes through tanh, which PPO's does not", where=where, right=right)
