"""Trackers compared: every model on the same detections of the same films, with intervals and paired differences."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from knuckle.perception.tracking.detection_recipe import Detected, detect, digest
from knuckle.perception.tracking.follow import follow
from knuckle.perception.tracking.rivals import Weights, rival, weights_of
from knuckle.perception.tracking.scores import FilmScore, drawn_again, interval, score, together
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.tuning import Tuned, from_json, untuned
from knuckle.perception.tracking.weights_folder import read_json

TUNED = "tuned.json"
AGAINST = "ridge"


@dataclass
class Result:
    """``table[film][seed]`` of one model, and the CPU time of its tracker for each frame."""

    table: list[list[FilmScore]] = field(default_factory=list)
    frame_ms: float = float("nan")


def tuned_of(name: str, folder: Path) -> Tuned:
    """The settings of a model in ``folder``/tuned.json; where tuning begins, when there is no such file or model."""
    path = folder / TUNED
    if not path.is_file():
        return untuned(name)
    models = read_json(path, "the tuned settings").get("models", {})
    return from_json(models[name], name, str(path)) if name in models else untuned(name)


def compare_models(
    names: list[str],
    films: list[Sequence],
    folder: Path,
    seen: list[list[Detected]],
    label: int | None = None,
    report: Callable[[str], None] = lambda name: None,
) -> dict[str, Result]:
    """Every model over ``films`` with ``seen[film][seed]``; ``label`` picks one class for the scores."""
    results = {}
    for name in names:
        report(name)
        tuned, weights = tuned_of(name, folder), weights_of(name, folder)
        results[name] = _one(name, films, seen, tuned, weights, label)
    return results


def _one(
    name: str, films: list[Sequence], seen: list[list[Detected]], tuned: Tuned, weights: Weights, label: int | None
) -> Result:
    result, spent, frames = Result(), 0.0, 0
    for film, draws in zip(films, seen, strict=True):
        frame_s, row = 1.0 / film.rate_hz, []
        for made in draws:
            begun = time.process_time()
            model = rival(name).make(frame_s, tuned.motion, weights)
            tracks = follow(film, made.frames, model, tuned.config(frame_s))
            spent += time.process_time() - begun
            frames += film.frames
            row.append(score(film, tracks, made.kept, label))
        result.table.append(row)
    result.frame_ms = 1e3 * spent / max(1, frames)
    return result


def draw_detections(films: list[Sequence], seeds: int, seed: int) -> tuple[list[list[Detected]], str]:
    """``detections[film][seed]`` of the recipe, and the hash of all of them, in that order."""
    made = [[detect(film, seed + k) for k in range(seeds)] for film in films]
    return made, digest([frame for row in made for one in row for frame in one.frames])


def figures_of(
    results: dict[str, Result], seed: int, suffix: str = ""
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Figures and 95% intervals by name: ``hota_mtp`` and so on; ``hota_mtp_over_ridge`` is the paired difference.

    Switches are a mean for each film.
    """
    figures: dict[str, float] = {}
    bounds: dict[str, tuple[float, float]] = {}
    drawn = {}
    for name, result in results.items():
        runs = [one for row in result.table for one in row]
        drawn[name] = drawn_again(result.table, np.random.default_rng(seed))
        per = {"idsw": 1.0 / len(runs)}
        for key, value in together(runs).scores().items():
            figures[f"{key}_{name}{suffix}"] = value * per.get(key, 1.0)
            low, high = interval(drawn[name][key] * per.get(key, 1.0))
            if low == low:
                bounds[f"{key}_{name}{suffix}"] = (low, high)
        figures[f"cpu_{name}{suffix}_ms"] = result.frame_ms
    for name in results:
        if AGAINST in results and name != AGAINST:
            for key in ("hota", "assa"):
                ours, theirs = f"{key}_{name}{suffix}", f"{key}_{AGAINST}{suffix}"
                figures[f"{ours}_over_{AGAINST}"] = figures[ours] - figures[theirs]
                bounds[f"{ours}_over_{AGAINST}"] = interval(drawn[name][key] - drawn[AGAINST][key])
    return figures, bounds
