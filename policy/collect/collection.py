"""A collection in a folder: its settings and a file for each episode, whole or not there; a killed run goes on with it.

collection.json        what is collected
episodes/000017...     an episode, safetensors with its facts in the header
minari/                the data set, made from the episodes
description.json       what the data set holds
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.core.figures import require_writable, wilson, write_text
from knuckle.policy.collect.recorder import Episode
from knuckle.policy.learned.checkpoint import read_checkpoint, write_checkpoint

CONFIG, EPISODES, DATASET, DESCRIPTION = "collection.json", "episodes", "minari", "description.json"
ANGLE_EDGES = np.linspace(0.0, np.pi, 7)


class Collection:
    """The collection in ``path``, of what ``settings`` say. InputError where others are collected there, or no file can
    be written."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, dict(settings)
        require_writable(path / CONFIG, what="the collection")
        if not (path / CONFIG).is_file():
            (path / EPISODES).mkdir(parents=True, exist_ok=True)
            write_text(path / CONFIG, json.dumps(self.settings, indent=2) + "\n")
        try:
            here = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            what = f"the settings cannot be read ({error})"
            raise InputError(what, where=str(path / CONFIG), right="another --out") from error
        for name, value in self.settings.items():
            if here.get(name) != value:
                what = f"the collection here has {name} {here.get(name)}, not {value}"
                raise InputError(what, where=str(path), right="the same settings, or another --out")

    def file(self, k: int) -> Path:
        """Where episode ``k`` lies."""
        return self.path / EPISODES / f"{k:06d}.safetensors"

    def missing(self, episodes: int) -> list[int]:
        """The episodes below ``episodes`` that are yet to be played."""
        return [k for k in range(episodes) if not self.file(k).is_file()]

    def add(self, k: int, episode: Episode) -> None:
        """Keep episode ``k``; RunError where it cannot be written."""
        arrays = {"observations": episode.observations, "actions": episode.actions, "angles": episode.angles}
        write_checkpoint(self.file(k), arrays, episode.facts, what="the episode")

    def read(self, k: int) -> Episode:
        """Episode ``k``; InputError where its file is broken."""
        arrays, facts = read_checkpoint(self.file(k), what="the episode", right="delete it: it is then played again")
        facts.pop("version")
        return Episode(arrays["observations"], arrays["actions"], arrays["angles"], facts)

    def kept(self) -> list[int]:
        """The episodes that are there, in order. What a killed run left half-written is not among them."""
        return sorted(int(path.stem) for path in (self.path / EPISODES).glob("[0-9]*.safetensors"))


def describe(episodes: list[Episode]) -> dict[str, Any]:
    """What ``episodes`` hold: how many and how they ended, from which angles, of which objects, at what cost."""
    facts = [episode.facts for episode in episodes]
    angles = [fact["start_angle_rad"] for fact in facts]
    counts, _ = np.histogram(angles, bins=ANGLE_EDGES)
    won, n = sum(fact["succeeded"] for fact in facts), len(facts)
    tried, hits = Counter(fact["object"] for fact in facts), Counter(f["object"] for f in facts if f["succeeded"])
    bins = np.digitize(angles, ANGLE_EDGES[1:-1])
    by_angle = [sum(fact["succeeded"] for fact, b in zip(facts, bins, strict=True) if b == k) for k in range(6)]
    return {
        "episodes": n,
        "steps": sum(len(episode.actions) for episode in episodes),
        "succeeded": won,
        "success_0p4": won / n if n else None,
        "success_0p4_interval": list(wilson(won, n)),
        "dropped": sum(fact["dropped"] for fact in facts),
        "start_angle_edges_rad": [round(float(edge), 4) for edge in ANGLE_EDGES],
        "episodes_by_start_angle": [int(count) for count in counts],
        "succeeded_by_start_angle": by_angle,
        "episodes_by_object": dict(sorted(tried.items())),
        "succeeded_by_object": {name: hits[name] for name in sorted(tried)},
        "cpu_hours": round(sum(fact["cpu_s"] for fact in facts) / 3600, 4),
    }
