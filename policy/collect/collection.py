"""A collection in a folder: its settings and a file for each episode, whole or not there; a killed run goes on with it.

collection.json        what is collected
episodes/000017...     an episode, safetensors with its facts in the header
broken/000018.json     an episode in which the simulation broke down, and what it said: not played again
minari/                the data set, made from the episodes
description.json       what the data set holds, coverage.svg drawn
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import require_writable, write_text
from knuckle.policy.collect.recorder import Episode, Recorded

if TYPE_CHECKING:
    from rich.console import Console

CONFIG, EPISODES, BROKEN, DATASET = "collection.json", "episodes", "broken", "minari"
FEWEST_BROKEN, BROKEN_SHARE = 4, 0.03
"""A collection ends when more episodes than these have broken down: then something is wrong with all of them."""


class Collection:
    """The collection in ``path``, of what ``settings`` say. InputError where others are collected there, or no file can
    be written."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, dict(settings)
        require_writable(path / CONFIG, what="the collection")
        if not (path / CONFIG).is_file():
            (path / EPISODES).mkdir(parents=True, exist_ok=True)
            write_text(path / CONFIG, json.dumps(self.settings, indent=2) + "\n")
        here = _read_settings(path)
        for name, value in self.settings.items():
            if here.get(name) != value:
                what = f"the collection here has {name} {here.get(name)}, not {value}"
                raise InputError(what, where=str(path), right="the same settings, or another --out")

    def file(self, k: int) -> Path:
        """Where episode ``k`` lies."""
        return self.path / EPISODES / f"{k:06d}.safetensors"

    def missing(self, episodes: int) -> list[int]:
        """The episodes below ``episodes`` that are yet to be played."""
        return [k for k in range(episodes) if not self.file(k).is_file() and not self._broken(k).is_file()]

    def add(self, k: int, episode: Recorded) -> None:
        """Keep episode ``k``; RunError where it cannot be written."""
        write_arrays(self.file(k), episode.arrays(), episode.facts, what="the episode")

    def note_broken(self, k: int, error: RunError) -> None:
        """Note that the simulation broke down in episode ``k``; RunError where that has happened too often, or it
        cannot be written."""
        try:
            write_text(self._broken(k), json.dumps({"episode": k, "error": str(error)}) + "\n")
        except OSError as problem:
            what = f"that an episode broke down cannot be noted ({problem.strerror})"
            raise RunError(what, where=str(self._broken(k)), right="room on the disk") from problem
        broken, kept = len(self.broken()), len(self.kept())
        if broken > max(FEWEST_BROKEN, BROKEN_SHARE * (broken + kept)):
            what = f"{broken} of {broken + kept} episodes broke down, the last one with: {error}"
            raise RunError(what, where=str(self.path), right="the episodes that did not are all kept") from error

    def read(self, k: int) -> Episode:
        """Episode ``k``; InputError where its file is broken."""
        arrays, facts = read_arrays(self.file(k), what="the episode", right="delete it: it is then played again")
        facts.pop("version")
        try:
            return Episode(arrays["observations"], arrays["actions"], arrays["angles"], facts)
        except KeyError as error:
            right = "delete it: it is then played again"
            raise InputError(f"the episode lacks {error}", where=str(self.file(k)), right=right) from error

    def kept(self) -> list[int]:
        """The episodes that are there, in order. What a killed run left half-written is not among them."""
        return sorted(int(path.stem) for path in (self.path / EPISODES).glob("[0-9]*.safetensors"))

    def broken(self) -> list[int]:
        """The episodes in which the simulation broke down."""
        return sorted(int(path.stem) for path in (self.path / BROKEN).glob("[0-9]*.json"))

    def usable(self, console: Console | None = None) -> list[Episode]:
        """The episodes that can be learned from: not those that ended before anything was done, nor those whose file
        cannot be read, which ``console`` is told. InputError where there is none."""
        episodes = []
        for k in self.kept():
            try:
                episodes.append(self.read(k))
            except InputError as error:
                if console is not None:
                    console.print(f"left out: {error}", soft_wrap=True, markup=False)
        # An episode that ends before anything was done teaches nothing, and Minari has no place for it.
        episodes = [episode for episode in episodes if len(episode.actions)]
        if not episodes:
            raise InputError("no episode was finished", where=str(self.path), right="more --minutes")
        return episodes

    def described(self, console: Console | None = None) -> dict[str, Any]:
        """What is in it, see `describe`, under its settings. InputError where nothing is."""
        from knuckle.policy.collect.describe import describe

        return self.settings | describe(self.usable(console)) | {"broken_down": len(self.broken())}

    def _broken(self, k: int) -> Path:
        return self.path / BROKEN / f"{k:06d}.json"


def open_collection(path: Path) -> Collection:
    """The collection that is in ``path``; InputError where there is none."""
    if not (path / CONFIG).is_file():
        raise InputError("no collection is here", where=str(path), right="the --out of a knuckle collect")
    return Collection(path, _read_settings(path))


def _read_settings(path: Path) -> dict[str, Any]:
    """The settings of the collection in ``path``; InputError where they cannot be read."""
    where, right = str(path / CONFIG), "another --out"
    try:
        here = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the settings cannot be read ({error})", where=where, right=right) from error
    if not isinstance(here, dict):
        raise InputError("the settings are no table", where=where, right=right)
    return here
