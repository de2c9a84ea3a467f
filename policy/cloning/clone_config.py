"""The settings of cloning: what is learned from, how, and how often the planner is asked again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from knuckle.core.config import describe, parse_text, setting, validate
from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.cloning.chunk_config import ChunkConfig
from knuckle.policy.cloning.fit_config import FitConfig
from knuckle.policy.cloning.row_config import RowConfig
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.sim.objects import object_names
from knuckle.sim.reorient.rungs import find_rung

T = TypeVar("T")


@dataclass(frozen=True)
class DaggerConfig:
    """How often, and on what, the planner is asked again where the learner got to."""

    rounds: int = setting(2, "rounds of asking and learning again", low=0, high=100)
    episodes: int = setting(60, "starts a round; the planner takes over in those that the learner fails", low=1)
    rungs: str = setting("60+90+so3", "rungs of their goals, in turn, with + between")
    objects: str = setting("train", "objects: train, novel, all, a family or one object")
    expert: str = setting("mpc", "the controller that is asked: mpc, or any other that knuckle eval takes")


@dataclass(frozen=True)
class Cloning:
    """All that a cloned policy is made of, but for the episodes: it stands in the run's folder and in the card."""

    hand: str
    sources: tuple[str, ...]
    seed: int
    rows: RowConfig = field(default_factory=RowConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    chunk: ChunkConfig = field(default_factory=ChunkConfig)
    dagger: DaggerConfig = field(default_factory=DaggerConfig)
    done: DoneConfig = field(default_factory=DoneConfig)

    @property
    def rungs(self) -> tuple[str, ...]:
        """The rungs on which the planner is asked again."""
        return tuple(self.dagger.rungs.split("+"))

    def facts(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return asdict(self) | {"sources": list(self.sources)}


def make_cloning(hand: str, sources: str, changes: Mapping[str, str], *, seed: int) -> Cloning:
    """Cloning of the collections ``sources`` (folders with + between) with ``changes``: ``fit.width``, as text.

    InputError or ConfigError for what is not known or not in range.
    """
    parts: dict[str, Any] = {"rows": RowConfig(), "fit": FitConfig(), "chunk": ChunkConfig()}
    parts |= {"dagger": DaggerConfig(), "done": DoneConfig()}
    texts = by_part(changes, parts)
    hand_spec(hand, where="--hand")
    folders = tuple(name for name in sources.split("+") if name)
    if not folders:
        raise InputError("no episodes", where="--episodes", right="folders of knuckle collect, with + between")
    parts = {name: changed(part, texts[name], f"--set {name}") for name, part in parts.items()}
    cloning = Cloning(hand, folders, seed, **parts)
    if 0 < cloning.chunk.length < cloning.chunk.executed:
        what = f"{cloning.chunk.executed} postures of a chunk of {cloning.chunk.length} are to be executed"
        raise InputError(what, where="--set chunk.executed", right=f"{cloning.chunk.length} at most")
    if 0 < cloning.chunk.length < cloning.chunk.foreseen:
        what = f"{cloning.chunk.foreseen} postures of a chunk of {cloning.chunk.length} are to be simulated"
        raise InputError(what, where="--set chunk.foreseen", right=f"{cloning.chunk.length} at most")
    for rung in cloning.rungs:
        find_rung(rung, where="--set dagger.rungs")
    object_names(cloning.dagger.objects, where="--set dagger.objects")
    return cloning


def by_part(changes: Mapping[str, str], parts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Settings as ``part.name``, as text, by part and name; InputError for one of no such part."""
    texts: dict[str, dict[str, str]] = {name: {} for name in parts}
    for key, text in changes.items():
        part, _, name = key.rpartition(".")
        if part not in texts:
            raise unknown_name("part", part, texts, where=f"--set {key}")
        texts[part][name] = text
    return texts


def changed(config: T, texts: Mapping[str, str], where: str) -> T:
    """``config`` with settings given as text by name; InputError or ConfigError for one not known or not in range."""
    known = {spec.name: spec for spec in describe(type(config))}
    values: dict[str, Any] = {name: getattr(config, name) for name in known}
    for name, text in texts.items():
        if name not in known:
            raise unknown_name("setting", name, known, where=where)
        values[name] = parse_text(known[name], text, where=f"{where} {name}")
    return validate(type(config)(**values), where=where)
