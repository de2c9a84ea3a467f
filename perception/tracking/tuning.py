"""Every rival is tuned before it is compared: one setting after another, on training films, by HOTA.

A search by coordinates from the defaults, the same for all: what it cost and what it found are kept with the settings.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from knuckle.perception.tracking.detection_recipe import Detected
from knuckle.perception.tracking.follow import follow
from knuckle.perception.tracking.ready import association
from knuckle.perception.tracking.rivals import Weights, rival
from knuckle.perception.tracking.scores import score, together
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.tuned_settings import Tuned, choices_of

EPS = 1e-6
NO_MORE: Mapping[str, tuple[float, ...]] = {}


def tune(
    name: str,
    films: list[Sequence],
    seen: list[Detected],
    weights: Weights,
    begin: Tuned,
    only: tuple[str, ...] = (),
    more: Mapping[str, tuple[float, ...]] = NO_MORE,
) -> Tuned:
    """The best settings of a model that the search finds from ``begin``; of ``only`` some settings where given.

    ``more`` has further values of some settings, which are then tried whatever ``only`` says.
    """
    started = time.process_time()
    part = rival(name)
    choices = {**part.choices, **choices_of(name)}
    best, tried = replace(begin, hota=evaluate(name, films, seen, weights, begin)), 1
    for key, values in choices.items():
        if only and key not in (*only, *more):
            continue
        for value in (*values, *more.get(key, ())):
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
        model, config = rival(name).make(frame_s, tuned.motion, weights), tuned.config(frame_s)
        told = follow(film, made.frames, model, config, association(name, config, weights))
        scores.append(score(film, told, made.kept))
    return together(scores).scores()["hota"]
