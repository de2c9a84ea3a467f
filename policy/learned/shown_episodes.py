"""What an expert showed, read for a learner that begins in the midst of it: collections of episodes that succeeded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from knuckle.core.array_file import read_arrays
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.collect.collection import CONFIG, EPISODES
from knuckle.sim.reorient.demonstrations import Shown
from knuckle.sim.reorient.success import SUCCESS_ANGLE


def shown_episodes(folders: str, hand: str, *, where: str) -> dict[str, Shown]:
    """What was seen, by object, in the collections in ``folders`` (with + between) before the goal was near for good.

    InputError where a folder holds no collection, a collection of another hand, or no episode that succeeded.
    """
    parts: dict[str, list[Shown]] = {}
    for name in folders.split("+"):
        path = Path(name)
        if not (path / CONFIG).is_file():
            raise InputError(f"no collection in '{name}'", where=where, right="a folder that knuckle collect made")
        of = json.loads((path / CONFIG).read_text(encoding="utf-8")).get("hand")
        if of != hand:
            raise InputError(f"the collection in '{name}' is of {of}", where=where, right=f"episodes of {hand}")
        for file in sorted((path / EPISODES).glob("[0-9]*.safetensors")):
            arrays, facts = read_arrays(file, what="the episode", right="delete it: it is then played again")
            if facts["succeeded"]:
                parts.setdefault(facts["object"], []).append(_before_the_goal(arrays["observations"], arrays["angles"]))
    if not parts:
        raise InputError(f"no episode in '{folders}' succeeded", where=where, right=f"episodes of {hand} that did")
    return {name: _joined(shown) for name, shown in parts.items()}


def _before_the_goal(observations: Array, angles: Array) -> Shown:
    """The rows from which the goal is yet to be reached: a start that has succeeded already teaches nothing."""
    away = np.flatnonzero(angles > SUCCESS_ANGLE)
    left = (away[-1] + 1 - away) if len(away) else away
    return Shown(np.asarray(observations[away], dtype=np.float64), left.astype(np.int64))


def _joined(parts: list[Shown]) -> Shown:
    return Shown(np.concatenate([part.observations for part in parts]), np.concatenate([part.left for part in parts]))
