"""Episodes as a Minari data set, made beside the old one and put in its place whole. Needs extra ``learn``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from knuckle.core.errors import RunError
from knuckle.policy.collect.recorder import Episode


def write_dataset(
    path: Path, episodes: list[Episode], *, name: str, controller: str, description: Mapping[str, Any]
) -> None:
    """Write ``episodes`` to ``path``, which ``minari.MinariDataset(path)`` reads. RunError where that is impossible.

    The reward is 1 with the last step of an episode that succeeded by the protocol, 0 otherwise. An episode that was
    ended by done or by a drop is terminated, by the limit truncated. Infos: the angle left; each episode's facts are
    its metadata.
    """
    path = path.absolute()  # minari sizes up what it wrote by paths below it: a relative one it goes twice
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        for left in path.parent.glob(f".{path.name}.*"):  # by runs that were killed while they wrote
            shutil.rmtree(left, ignore_errors=True)
        storage = MinariStorage.new(
            partial,
            observation_space=spaces.Box(-np.inf, np.inf, episodes[0].observations.shape[1:], np.float32),
            action_space=spaces.Box(-1.0, 1.0, episodes[0].actions.shape[1:], np.float32),
        )
        storage.update_metadata(
            {
                "dataset_id": name,
                "minari_version": minari.__version__,
                "algorithm_name": controller,
                "description": json.dumps(description),
            }
        )
        storage.update_episodes([_buffer(episode) for episode in episodes])
        storage.update_episode_metadata([_plain(episode.facts) for episode in episodes])
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    except OSError as error:
        what = f"the data set cannot be written ({error.strerror or error})"
        raise RunError(what, where=str(path), right="room on the disk; the episodes are all kept") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _buffer(episode: Episode) -> EpisodeBuffer:
    steps, facts = len(episode.actions), episode.facts
    rewards, ended, cut = np.zeros(steps), np.zeros(steps, dtype=bool), np.zeros(steps, dtype=bool)
    rewards[-1] = float(facts["succeeded"])
    ended[-1] = facts["declared_done"] or facts["dropped"]
    cut[-1] = not ended[-1]
    return EpisodeBuffer(
        seed=facts["placement_seed"],
        observations=episode.observations,
        actions=episode.actions,
        rewards=rewards,
        terminations=ended,
        truncations=cut,
        infos={"angle_rad": episode.angles},
    )


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value) if isinstance(value, list) else value for name, value in facts.items()}
