"""The settings of a tracker as tuning finds them and tuned.json keeps them: numbers, with times in frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from knuckle.core.config import from_mapping
from knuckle.core.errors import InputError
from knuckle.perception.tracking.rivals import defaults, is_linked, plain, rival
from knuckle.perception.tracking.tracker_config import TrackerConfig
from knuckle.perception.tracking.weights_folder import read_json

# In the order of what they are worth; times in frames, as films have different rates.
TRACKER_CHOICES: dict[str, tuple[float, ...]] = {
    "high": (0.5, 0.3, 0.4, 0.6),
    "start": (0.6, 0.4, 0.5, 0.7),
    "first_iou": (0.2, 0.05, 0.1, 0.3),
    "noise": (0.05, 0.0, 0.03, 0.08),
    "coast": (2.0, 0.0, 1.0, 4.0, 8.0, 12.0),
    "common_shift": (1.0, 0.0, 0.5),
    "second_iou": (0.35, 0.2, 0.5),
    "memory": (30.0, 20.0, 50.0),
    "confirm": (2, 1, 3),
    "recover_iou": (0.0, 0.3),
    "fuse_score": (0, 1),
    "lost_apart": (0, 1),
}
LINK_CHOICES: dict[str, tuple[float, ...]] = {
    "link": (-3.0, -1.0, -2.0, -4.0),
    "low": (0.1, 0.0, 0.2),
    "memory": (30.0, 50.0, 75.0),
}
REAL_CHOICES: dict[str, tuple[float, ...]] = {"high": (0.75, 0.9), "start": (0.2, 0.8, 0.9, 0.95)}
"""Further values where a real detector speaks, whose scores mean what it likes."""
MOMENTUM = (0.2, 0.05, 0.1, 0.4)
TUNED = "tuned.json"
IN_FRAMES = {"coast": "coast_s", "memory": "memory_s"}


@dataclass(frozen=True)
class Tuned:
    """The settings of one model: of the tracker, with times in frames, and of its motion; score and cost."""

    tracker: dict[str, float]
    motion: dict[str, float]
    hota: float = float("nan")
    cpu_s: float = 0.0
    tried: int = 0

    def config(self, frame_s: float) -> TrackerConfig:
        """The tracker's settings for films with so much time between frames."""
        return tracker_config(self.tracker, frame_s)


def choices_of(name: str) -> dict[str, tuple[float, ...]]:
    """The tracker's settings that tuning may change, each with its values, the first of which is where it begins."""
    choices = {**TRACKER_CHOICES, **LINK_CHOICES} if is_linked(name) else dict(TRACKER_CHOICES)
    if rival(name).momentum and not is_linked(name):
        choices["momentum"] = MOMENTUM
    return choices


def untuned(name: str) -> Tuned:
    """Where tuning begins."""
    tracker = {key: values[0] for key, values in choices_of(name).items()}
    return Tuned(tracker, defaults(name))


def tracker_config(settings: Mapping[str, float], frame_s: float) -> TrackerConfig:
    """A tracker's settings out of numbers. ConfigError for one that is unknown or out of range."""
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key in IN_FRAMES:
            values[IN_FRAMES[key]] = float(value) * frame_s
        elif key == "confirm":
            values[key] = int(value)
        elif key in ("fuse_score", "lost_apart"):
            values[key] = bool(value)
        else:
            values[key] = value
    return from_mapping(TrackerConfig, values, where="tracker")


def as_json(tuned: Tuned) -> dict[str, Any]:
    """As tuned.json has it."""
    return asdict(tuned)


def from_json(raw: Any, name: str, where: str) -> Tuned:
    """The settings of one model out of tuned.json. InputError where they are not what they should be."""
    try:
        tracker = {str(key): float(value) for key, value in raw["tracker"].items()}
        motion = {**defaults(name), **{str(key): float(value) for key, value in raw["motion"].items()}}
        tuned = Tuned(tracker, motion, float(raw["hota"]), float(raw["cpu_s"]), int(raw["tried"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the settings of '{name}' are incomplete ({error})"
        raise InputError(what, where=where, right="what knuckle train tracker wrote") from error
    tuned.config(0.04)
    unknown = set(motion) - set(defaults(name))
    if unknown:
        raise InputError(f"'{name}' has no setting '{min(unknown)}'", where=where, right=f"{sorted(defaults(name))}")
    return tuned


def tuned_of(name: str, folder: Path) -> Tuned:
    """The settings of a model in ``folder``/tuned.json; where tuning begins, when there is no such file or model.

    With learned association and no settings of its own, a model has those that it has without, and the association's
    first choices beside them.
    """
    path = folder / TUNED
    if not path.is_file():
        return untuned(name)
    models = read_json(path, "the tuned settings").get("models", {})
    if name in models:
        return from_json(models[name], name, str(path))
    own = plain(name)
    if own in models:
        return linked(from_json(models[own], own, str(path)))
    return untuned(name)


def linked(tuned: Tuned) -> Tuned:
    """The settings of a model with learned association, from those that it has without."""
    first = {key: values[0] for key, values in LINK_CHOICES.items()}
    kept = {key: value for key, value in tuned.tracker.items() if key != "momentum"}
    return replace(tuned, tracker={**kept, **first})
