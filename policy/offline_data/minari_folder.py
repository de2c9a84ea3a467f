"""A `Dataset` as a Minari folder, which others read too: written beside its place and put there whole. Needs ``learn``.

metadata.json, main_data.hdf5 or Arrow files: Minari's own layout. What knuckle adds stands in Minari's ``description``
as JSON and in each episode's metadata.
"""

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

from knuckle.core.errors import InputError, RunError
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.episode import Episode, episode_of

METADATA = "metadata.json"
MAX_METADATA_BYTES = 16 << 20
RIGHT = "a Minari folder that was written to its end"


def write_minari(path: Path, dataset: Dataset, *, algorithm: str, description: Mapping[str, Any]) -> None:
    """Write ``dataset``, as it was recorded, to ``path``; ``algorithm`` says what acted in it.

    InputError where something is there already or the data set is scaled; RunError where it cannot be written.
    """
    path = path.absolute()  # Minari sizes up what it wrote by paths below it: a relative one it goes twice
    require_new(path)
    if dataset.reward_rule != "none" or dataset.scale is not None:
        raise InputError("the data set is scaled", where=dataset.name, right="data as recorded; scale after reading")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    told = dict(description) | {"environment": dataset.environment, "name": dataset.name}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = MinariStorage.new(
            partial,
            observation_space=spaces.Box(-np.inf, np.inf, (dataset.observations,), np.float32),
            action_space=spaces.Box(dataset.low, dataset.high, dtype=np.float32),
        )
        head = {"dataset_id": f"knuckle/{path.name}", "minari_version": minari.__version__}
        storage.update_metadata(head | {"algorithm_name": algorithm, "description": json.dumps(told)})
        storage.update_episodes([_buffer(episode) for episode in dataset.episodes])
        storage.update_episode_metadata([_plain(episode.facts) for episode in dataset.episodes])
        partial.replace(path)
    except OSError as error:
        what = f"the data set cannot be written ({error.strerror or error})"
        raise RunError(what, where=str(path), right="room on the disk, in a folder of yours") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_new(path: Path) -> None:
    """InputError where something is at ``path`` already: recordings are not written over."""
    if path.exists():
        raise InputError("something is there already", where=str(path), right="another --out, or remove it")


def read_minari(path: Path) -> Dataset:
    """The data set in the Minari folder ``path``.

    InputError in one line where it is none or half-written, its spaces are no Boxes of one axis, or an episode goes on
    after its end.
    """
    raw, told = _metadata(path), {}
    try:
        told = json.loads(str(raw.get("description", "")))
    except (ValueError, RecursionError):
        told = {}
    told = told if isinstance(told, dict) else {}
    try:
        storage = MinariStorage.read(path)
        low, high = _bounds(storage, str(path))
        count = int(raw["total_episodes"])
        held = zip(storage.get_episodes(range(count)), storage.get_episode_metadata(range(count)), strict=True)
        episodes = tuple(_episode(arrays, facts, f"{path}: episode {k}") for k, (arrays, facts) in enumerate(held))
    except (OSError, KeyError, ValueError, TypeError, AssertionError, AttributeError, ImportError) as error:
        raise InputError(f"its episodes cannot be read ({error})", where=str(path), right=RIGHT) from error
    steps = sum(len(episode) for episode in episodes)
    if steps != raw["total_steps"]:
        what = f"its metadata promise {raw['total_steps']} steps and {steps} are there"
        raise InputError(what, where=str(path), right=RIGHT)
    name = str(told.get("name") or raw.get("dataset_id") or path.name)
    hand = f"knuckle/{told['hand']}" if "hand" in told else ""  # what `knuckle collect` writes
    return Dataset(name, episodes, low, high, str(told.get("environment") or _environment(raw) or hand))


def _metadata(path: Path) -> dict[str, Any]:
    where = str(path)
    try:
        if (path / METADATA).stat().st_size > MAX_METADATA_BYTES:
            raise InputError("its metadata are too large", where=where, right=RIGHT)
        raw = json.loads((path / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"its metadata cannot be read ({error})", where=where, right=RIGHT) from error
    wanted = ("total_episodes", "total_steps", "data_format", "observation_space", "action_space")
    missing = [name for name in wanted if name not in raw] if isinstance(raw, dict) else list(wanted)
    # Without its spaces Minari would make the environment that the metadata name, and run what it says.
    if missing:
        raise InputError(f"its metadata lack {', '.join(missing)}", where=where, right=RIGHT)
    if not (isinstance(raw["total_episodes"], int) and raw["total_episodes"] > 0):
        raise InputError("no episode was written to it", where=where, right=RIGHT)
    return dict(raw)


def _bounds(storage: MinariStorage, where: str) -> tuple[Any, Any]:
    for name in ("observation_space", "action_space"):
        space = getattr(storage, name)
        if not isinstance(space, spaces.Box) or (name == "action_space" and len(space.shape) != 1):
            raise InputError(f"its {name} is {space}", where=where, right="a Box of numbers")
    action = storage.action_space
    return np.asarray(action.low, dtype=np.float32), np.asarray(action.high, dtype=np.float32)


def _environment(raw: Mapping[str, Any]) -> str:
    """The environment's id that Minari noted; empty where it did not."""
    try:
        return str(json.loads(str(raw.get("env_spec", "{}"))).get("id", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""


def _episode(arrays: Mapping[str, Any], facts: Mapping[str, Any], where: str) -> Episode:
    over, cut = np.asarray(arrays["terminations"], dtype=bool), np.asarray(arrays["truncations"], dtype=bool)
    steps = len(arrays["rewards"])
    if over.shape != (steps,) or cut.shape != (steps,):
        what = f"{steps} rewards, {len(over)} terminations and {len(cut)} truncations"
        raise InputError(what, where=where, right="one of each for each action")
    if (early := np.flatnonzero(over[:-1] | cut[:-1])).size:
        raise InputError(f"it ends at step {early[0]} and goes on", where=where, right="one end, at the last step")
    told = {name: _json(value) for name, value in facts.items() if name not in ("id", "seed", "total_steps")}
    noted = (arrays.get("infos") or {}).get("success")
    if noted is not None and "succeeded" not in told:
        told["succeeded"] = bool(np.any(noted))
    ended = bool(steps and over[-1])
    told.setdefault("time_limit", bool(steps and cut[-1]))
    return episode_of(arrays["observations"], arrays["actions"], arrays["rewards"], ended, told, where=where)


def _buffer(episode: Episode) -> EpisodeBuffer:
    over, cut = (np.zeros(len(episode), dtype=bool) for _ in range(2))
    over[-1], cut[-1] = episode.terminated, not episode.terminated
    return EpisodeBuffer(
        seed=None,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards.astype(np.float64),
        terminations=over,
        truncations=cut,
    )


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value) if isinstance(value, list) else value for name, value in facts.items()}


def _json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.decode(errors="replace") if isinstance(value, bytes) else value
