"""The tasks by name: what goes in and comes out, how recordings become trials, which of them teach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knuckle.core.errors import InputError, unknown_name
from knuckle.sensors.hiss import orientation_task, skin_task, splits, table_task, velocity_task, velocity_variation
from knuckle.sensors.hiss.features import FeatureConfig
from knuckle.sensors.hiss.pieces import Augment
from knuckle.sensors.hiss.train_config import LearnConfig
from knuckle.sensors.hiss.trial import CHUNK, Channels, Trial

TASKS = ("orientation", "skin", "table", "velocity")
_BROAD = "BROAD (Laidig, Caruso, Cereatti, Seel, Data 6(7), 2021, doi 10.3390/data6070072), CC BY 4.0"
_BROAD_LICENCE = "Apache-2.0; trained on BROAD, CC BY 4.0, Laidig, Caruso, Cereatti, Seel 2021"


@dataclass(frozen=True)
class Task:
    """One task with its options: ``facts`` say both, and `task_of` makes the same task of them again.

    ``load`` makes trials of a folder (or a file), ``load_training`` variants of them too; ``split`` divides them;
    ``augment`` varies them in training; ``features`` and ``learn`` are what a training begins from; ``data`` and
    ``licence`` go into the card; inputs of ``derived`` may be constant in a recording; where there are ``candidates``,
    which are inputs, the estimate lies among 0 and them, with ``prior`` logs of weights to begin from.
    """

    facts: dict[str, Any]
    channels: Channels
    split: splits.Split
    load: Callable[[Path], list[Trial]]
    load_training: Callable[[Path], list[Trial]]
    augment: Augment | None
    features: FeatureConfig
    learn: LearnConfig
    data: str
    licence: str
    derived: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    prior: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.facts["name"])


def open_task(name: str, options: Mapping[str, str], *, where: str = "--task") -> Task:
    """The task ``name`` with ``options``; InputError for what is not known."""
    if name not in TASKS:
        raise unknown_name("task", name, TASKS, where=where)
    return _MAKE[name](options)


def task_of(facts: Mapping[str, Any], *, where: str) -> Task:
    """The task that a card's facts tell; InputError where they do not."""
    try:
        options = {str(key): str(value) for key, value in facts.items() if key != "name"}
        return open_task(str(facts["name"]), options, where=where)
    except KeyError as error:
        raise InputError(f"the task is not told ({error})", where=where, right="a card of this version") from error


def _velocity(options: Mapping[str, str]) -> Task:
    _only(options, {"frame"})
    frame = options.get("frame", "level")
    if frame not in velocity_task.FRAMES:
        raise unknown_name("frame", frame, velocity_task.FRAMES, where="--options frame")
    return Task(
        facts={"name": "velocity", "frame": frame},
        channels=velocity_task.channels(frame),
        split=splits.VELOCITY,
        load=lambda folder: velocity_task.load_trials(folder, frame),
        load_training=lambda folder: velocity_task.load_trials(folder, frame),
        augment=velocity_variation.varied if frame == "level" else None,
        features=FeatureConfig(),
        learn=LearnConfig(window_s=12.0),
        data=_BROAD,
        licence=_BROAD_LICENCE,
    )


def _orientation(options: Mapping[str, str]) -> Task:
    _only(options, {"variants", "split"})
    text, split = options.get("variants", "6"), options.get("split", "fixed")
    if not text.isdigit() or int(text) > 100:
        raise InputError(f"{text} variants", where="--options variants", right="a number from 0 to 100")
    if split not in splits.ORIENTATION:
        raise unknown_name("split", split, splits.ORIENTATION, where="--options split")
    return Task(
        facts={"name": "orientation", "variants": text, "split": split},
        channels=orientation_task.channels(),
        split=splits.ORIENTATION[split],
        load=orientation_task.load_trials,
        load_training=lambda folder: orientation_task.load_trials(folder, int(text)),
        augment=None,
        features=FeatureConfig(deltas=False),
        learn=LearnConfig(window_s=60.0, hold=1.0),
        derived=(*orientation_task.CANDIDATES, "pull", "disturbed", "iron"),
        candidates=orientation_task.CANDIDATES,
        prior=orientation_task.PRIOR,
        data=f"{_BROAD}, and {text} variants of each trial with simulated magnets",
        licence=_BROAD_LICENCE,
    )


def _skin(options: Mapping[str, str]) -> Task:
    _only(options, set())
    return Task(
        facts={"name": "skin"},
        channels=skin_task.channels(),
        split=splits.STROKES,
        load=skin_task.load_trials,
        load_training=skin_task.load_trials,
        augment=None,
        features=FeatureConfig(rest=5),
        learn=LearnConfig(window_s=30.0),
        data="strokes of `knuckle data skin`, simulated",
        licence="Apache-2.0",
    )


def _table(options: Mapping[str, str]) -> Task:
    _only(options, {"inputs", "targets", "time", "rate"})
    names = {
        key: tuple(n.strip() for n in options.get(key, "").split(",") if n.strip()) for key in ("inputs", "targets")
    }
    for key, found in names.items():
        if not found:
            raise InputError(
                f"a table needs its {key}", where=f"--{key}", right="names of columns, with commas between"
            )
        if len(set(found)) != len(found):
            raise InputError(f"the {key} {', '.join(found)}", where=f"--{key}", right="each column once")
    if both := set(names["inputs"]) & set(names["targets"]):
        right = "columns to learn that the model does not read"
        raise InputError(f"'{min(both)}' is an input and a target", where="--targets", right=right)
    try:
        rate_hz = float(options.get("rate") or 50.0)
    except ValueError:
        rate_hz = 0.0
    if not 1.0 <= rate_hz <= 10_000.0:
        raise InputError(f"a rate of {options.get('rate')}", where="--rate", right="1 to 10000 Hz")
    columns = table_task.Columns(names["inputs"], names["targets"], options.get("time") or "t", rate_hz)
    return Task(
        facts={
            "name": "table",
            "inputs": ",".join(columns.inputs),
            "targets": ",".join(columns.targets),
            "time": columns.time,
            "rate": f"{rate_hz:g}",
        },
        channels=columns.channels(),
        split=splits.STROKES,
        load=lambda source: table_task.load_trials(source, columns),
        load_training=lambda source: table_task.load_trials(source, columns),
        augment=None,
        features=FeatureConfig(clip=1e12),
        learn=LearnConfig(window_s=120.0 * CHUNK / rate_hz),
        data="recordings of the user's own",
        licence="that of the recordings",
    )


def _only(options: Mapping[str, str], known: set[str]) -> None:
    for name in options:
        if name not in known:
            raise unknown_name("option", name, known, where="--options")


_MAKE: dict[str, Callable[[Mapping[str, str]], Task]] = {
    "orientation": _orientation,
    "skin": _skin,
    "table": _table,
    "velocity": _velocity,
}
