"""Every rival is tuned before it is compared: one setting after another, on training films, by HOTA.

A search by coordinates from the defaults, the same for all: what it cost and what it found are kept with the settings.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from knuckle.core.config import from_mapping
from knuckle.core.errors import InputError
from knuckle.perception.tracking.detection_recipe import Detected
from knuckle.perception.tracking.follow import follow
from knuckle.perception.tracking.rivals import Weights, defaults, rival
from knuckle.perception.tracking.scores import score, together
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.tracker_config import TrackerConfig

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
MOMENTUM = (0.2, 0.05, 0.1, 0.4)
IN_FRAMES = {"coast": "coast_s", "memory": "memory_s"}
EPS = 1e-6


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


def untuned(name: str) -> Tuned:
    """Where tuning begins."""
    tracker = {key: values[0] for key, values in TRACKER_CHOICES.items()}
    if rival(name).momentum:
        tracker["momentum"] = MOMENTUM[0]
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


def tune(
    name: str, films: list[Sequence], seen: list[Detected], weights: Weights, begin: Tuned, only: tuple[str, ...] = ()
) -> Tuned:
    """The best settings of a model that the search finds from ``begin``; of ``only`` some settings where given."""
    started = time.process_time()
    part = rival(name)
    choices = {**part.choices, **TRACKER_CHOICES}
    if part.momentum:
        choices["momentum"] = MOMENTUM
    best, tried = replace(begin, hota=evaluate(name, films, seen, weights, begin)), 1
    for key, values in choices.items():
        if only and key not in only:
            continue
        for value in values:
            in_motion = key in part.choices
            have = (best.motion if in_motion else best.tracker).get(key)
            if have == value:
                continue
            tracker = best.tracker if in_motion else {**best.tracker, key: value}
            motion = {**best.motion, key: value} if in_motion else best.motion
            one = Tuned(tracker, motion)
            one = replace(one, hota=evaluate(name, films, seen, weights, one))
            tried += 1
            if one.hota > best.hota + EPS:
                best = one
    return replace(best, cpu_s=round(time.process_time() - started, 2), tried=tried, hota=round(best.hota, 5))


def evaluate(name: str, films: list[Sequence], seen: list[Detected], weights: Weights, tuned: Tuned) -> float:
    """HOTA of a model over films."""
    scores = []
    for film, made in zip(films, seen, strict=True):
        frame_s = 1.0 / film.rate_hz
        model = rival(name).make(frame_s, tuned.motion, weights)
        scores.append(score(film, follow(film, made.frames, model, tuned.config(frame_s)), made.kept))
    return together(scores).scores()["hota"]


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
