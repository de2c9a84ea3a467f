"""Trackers compared: every model on the same detections of the same films, with intervals and paired differences."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from knuckle.perception.tracking.detection_recipe import Detected, detect, digest
from knuckle.perception.tracking.follow import follow
from knuckle.perception.tracking.ready import association
from knuckle.perception.tracking.rivals import Weights, rival, weights_of
from knuckle.perception.tracking.scores import FilmScore, drawn_again, interval, score, together
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.tuned_settings import Tuned
from knuckle.perception.tracking.tuned_settings import tuned_of as tuned_of

AGAINST = ("ridge", "bytetrack")


@dataclass
class Result:
    """``table[film][seed]`` of one model, and the CPU time of its tracker for each frame.

    With several folders of weights every draw of detections is a seed once for each of them, in the same order for
    every model, so that differences are paired over trainings too.
    """

    table: list[list[FilmScore]] = field(default_factory=list)
    frame_ms: float = float("nan")


def compare_models(
    names: list[str],
    films: list[Sequence],
    folders: list[Path],
    seen: list[list[Detected]],
    labels: tuple[int | None, ...] = (None,),
    report: Callable[[str], None] = lambda name: None,
) -> dict[int | None, dict[str, Result]]:
    """Every model over ``films`` with ``seen[film][seed]``, scored for each of ``labels``; None is all classes.

    Each of ``folders`` holds the weights and settings of one training.
    """
    results: dict[int | None, dict[str, Result]] = {label: {} for label in labels}
    for name in names:
        report(name)
        for folder in folders:
            tuned, weights = tuned_of(name, folder), weights_of(name, folder)
            for label, result in _one(name, films, seen, tuned, weights, labels).items():
                so_far = results[label].setdefault(name, Result([[] for _ in films], 0.0))
                so_far.frame_ms += result.frame_ms / len(folders)
                for row, more in zip(so_far.table, result.table, strict=True):
                    row += more
    return results


def _one(
    name: str,
    films: list[Sequence],
    seen: list[list[Detected]],
    tuned: Tuned,
    weights: Weights,
    labels: tuple[int | None, ...],
) -> dict[int | None, Result]:
    results, spent, frames = {label: Result() for label in labels}, 0.0, 0
    for film, draws in zip(films, seen, strict=True):
        frame_s = 1.0 / film.rate_hz
        for result in results.values():
            result.table.append([])
        for made in draws:
            begun = time.process_time()
            model, config = rival(name).make(frame_s, tuned.motion, weights), tuned.config(frame_s)
            tracks = follow(film, made.frames, model, config, association(name, config, weights))
            spent += time.process_time() - begun
            frames += film.frames
            for label, result in results.items():
                result.table[-1].append(score(film, tracks, made.kept, label))
    for result in results.values():
        result.frame_ms = 1e3 * spent / max(1, frames)
    return results


def draw_detections(films: list[Sequence], seeds: int, seed: int) -> tuple[list[list[Detected]], str]:
    """``detections[film][seed]`` of the recipe, and the hash of all of them, in that order."""
    made = [[detect(film, seed + k) for k in range(seeds)] for film in films]
    return made, digest([frame for row in made for one in row for frame in one.frames])


def figures_of(
    results: dict[str, Result], seed: int, suffix: str = ""
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Figures and 95% intervals by name: ``hota_mtp`` and so on; ``hota_mtp_over_ridge`` is the paired difference,
    as to every model of ``AGAINST`` that is there.
    ``mtp-link`` is ``mtp_link`` there.

    Switches are a mean for each film.
    """
    figures: dict[str, float] = {}
    bounds: dict[str, tuple[float, float]] = {}
    drawn = {}
    for model, result in results.items():
        name = figure_name(model)
        runs = [one for row in result.table for one in row]
        drawn[name] = drawn_again(result.table, np.random.default_rng(seed))
        per = {"idsw": 1.0 / len(runs)}
        for key, value in together(runs).scores().items():
            figures[f"{key}_{name}{suffix}"] = value * per.get(key, 1.0)
            low, high = interval(drawn[name][key] * per.get(key, 1.0))
            if low == low:
                bounds[f"{key}_{name}{suffix}"] = (low, high)
        figures[f"cpu_{name}{suffix}_ms"] = result.frame_ms
    for other in AGAINST:
        for name in map(figure_name, results if other in results else ()):
            if name == other:
                continue
            for key in ("hota", "assa"):
                ours, theirs = f"{key}_{name}{suffix}", f"{key}_{other}{suffix}"
                figures[f"{ours}_over_{other}"] = figures[ours] - figures[theirs]
                bounds[f"{ours}_over_{other}"] = interval(drawn[name][key] - drawn[other][key])
    return figures, bounds


def figure_name(model: str) -> str:
    """A model's name in figures: ``mtp_link`` for ``mtp-link``."""
    return model.replace("-", "_")
