"""Learners beside each other on one task's data: each by its last checkpoint, O-DICE's lambda chosen on held-out data.

Lambda is chosen by `selection`: learned from nine tenths of the episodes, weights on the other tenth say which it is.
No episode of any policy is looked at for it. Every run keeps its own folder, so a comparison goes on where it was
stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.core.figures import write_text
from knuckle.policy.offline.bootstrap import bootstrap_mean
from knuckle.policy.offline.judge import NearestReplay, play, play_run, shuffled
from knuckle.policy.offline.learners import settings_of
from knuckle.policy.offline.offline_run import OfflinePlan, OfflineRun
from knuckle.policy.offline.prepare import prepared, unit_transitions
from knuckle.policy.offline.selection import LEAST_SHARE, held_out_share, most_selective
from knuckle.policy.offline.settling import settling_note
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.environments import OfflineTask

HELD_SHARE, CHOICE_SEED = 0.1, 1000
CONTROLS = ("nearest-replay", "shuffled-actions")
"""Arms that must lose: a recording played again blind, and cloning of data whose actions were mixed up."""
EVAL_SEED = 10_000
CHOOSING = ("odice", "odice-semi", "odice-true")
SCALING = ("rewards", "observations")
"""Of a learner's settings, those that say how its data are scaled (`prepare`)."""
KEEP_EVERY = 1000
"""Steps from one checkpoint to the next: a comparison takes hours and is stopped at any time."""


@dataclass(frozen=True)
class Comparison:
    """What is compared: ``learners`` (with `CONTROLS` if wanted) on ``data`` of ``task``, ``seeds`` runs of ``steps``
    each, judged by ``episodes`` episodes. ``lambdas`` are tried for O-DICE with ``choice_steps`` steps.
    ``settings`` are by learner, ``iql.beta``, and of `SCALING` too, ``odice.observations``."""

    task: OfflineTask
    data: Dataset
    learners: Sequence[str]
    seeds: int
    steps: int
    episodes: int
    folder: Path
    lambdas: Sequence[str] = ()
    choice_steps: int = 10_000
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What a learner came to: a mean return and success (NaN where unknown) for each seed, and CPU ms a step."""

    learner: str
    chosen: str
    returns: list[float]
    successes: list[float]
    step_cpu_ms: float


def compare(comparison: Comparison, said: Callable[[str], object]) -> list[Row]:
    """Learn and judge all that is not done yet. InputError where the data are of another task."""
    task, data = comparison.task, comparison.data
    data.require_shapes(task.observations, task.actions, task=task.name)
    if task.rung and data.environment != task.environment:
        what = f"they say '{data.environment}' of where they were recorded"
        raise InputError(what, where=data.name, right=f"{task.environment}: the --out of a knuckle collect")
    if task.rung and "nearest-replay" in comparison.learners:
        raise InputError("no recording is played on a hand", where=task.name, right="learners and shuffled-actions")
    chosen = {
        learner: _choose(comparison, learner, said) if learner in CHOOSING else "" for learner in comparison.learners
    }
    _say_what_does_not_settle(comparison, said)
    results: dict[str, list[dict[str, Any]]] = {learner: [] for learner in comparison.learners}
    # A seed of every learner before the next one: a comparison that is stopped has whole rows of fewer seeds.
    for seed in range(comparison.seeds):
        for learner in comparison.learners:
            result = _result(comparison, learner, chosen[learner], seed)
            results[learner].append(result)
            won = "" if result["success"] is None else f", success {result['success']:.2f}"
            said(f"seed {seed}, {learner}: return {result['return']:.1f}{won}")
    rows = []
    for learner, found in results.items():
        successes = [np.nan if r["success"] is None else r["success"] for r in found]
        cost = float(np.mean([r["step_cpu_ms"] for r in found]))
        rows.append(Row(learner, chosen[learner], [r["return"] for r in found], successes, cost))
    return rows


def figures_of(rows: Sequence[Row], task: OfflineTask) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Means over the seeds, ``return_odice``, ``score_odice`` (normalised), ``success_odice``, with 95% bootstrap
    intervals."""
    figures: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    rng = np.random.default_rng(0)
    for row in rows:
        name = row.learner.replace("-", "_")
        series = {f"return_{name}": row.returns}
        scores = [task.normalised(value) for value in row.returns]
        if None not in scores:
            series[f"score_{name}"] = [float(score) for score in scores if score is not None]
        if np.isfinite(row.successes).all():
            series[f"success_{name}"] = row.successes
        for key, values in series.items():
            figures[key], intervals[key] = float(np.mean(values)), bootstrap_mean(values, rng)
        figures[f"step_cpu_ms_{name}"] = row.step_cpu_ms
        if row.chosen:
            figures[f"lambda_{name}"] = float(row.chosen)
    return figures, intervals


def _told(comparison: Comparison, learner: str) -> dict[str, str]:
    return {
        key: value for name, value in comparison.settings.items() if (key := name.removeprefix(f"{learner}.")) != name
    }


def _settings(comparison: Comparison, learner: str, chosen: str) -> dict[str, str]:
    own = {key: value for key, value in _told(comparison, learner).items() if key not in SCALING}
    return own | ({"lam": chosen} if chosen else {})


def _scaling(comparison: Comparison, learner: str) -> dict[str, str]:
    """The rules by which rewards and observations are scaled for ``learner``."""
    return {key: value for key, value in _told(comparison, learner).items() if key in SCALING}


def _say_what_does_not_settle(comparison: Comparison, said: Callable[[str], object]) -> None:
    """A line for each learner whose value cannot settle in these steps."""
    rows = unit_transitions(comparison.data)
    for learner in comparison.learners:
        if learner not in CONTROLS and (
            note := settling_note(settings_of(learner, _settings(comparison, learner, "")), rows, comparison.steps)
        ):
            said(f"{learner}: {note}")


def _choose(comparison: Comparison, learner: str, said: Callable[[str], object]) -> str:
    """The most selective lambda with enough to learn from on held-out episodes; empty where none is to be tried."""
    if not comparison.lambdas:
        return ""
    rng = np.random.default_rng(CHOICE_SEED)
    given, held = prepared(comparison.data, learner, **_scaling(comparison, learner)).split(HELD_SHARE, rng)
    shares: dict[str, float] = {}
    for lam in comparison.lambdas:
        own = _settings(comparison, learner, lam)
        plan = OfflinePlan(learner, own, comparison.choice_steps, CHOICE_SEED, rewards="none", observations="raw")
        run = OfflineRun(plan, given, comparison.folder / f"choice-{learner}-{lam}")
        run.learn(log_every=1000, keep_every=KEEP_EVERY)
        shares[lam] = held_out_share(run.fit, unit_transitions(held))
    chosen = most_selective(shares)
    said(f"{learner}: lambda {chosen}, of {', '.join(f'{lam} {share:.2f}' for lam, share in shares.items())}")
    if max(shares.values()) < LEAST_SHARE:
        said(
            f"{learner}: none leaves a share of {LEAST_SHARE:g} of the weights; {chosen} is taken. Lower values for "
            f"--lambdas, more steps, or --set {learner}.weight=exact let more of the data count"
        )
    return chosen


def _result(comparison: Comparison, learner: str, chosen: str, seed: int) -> dict[str, Any]:
    """The judgement of one run, read from its folder or made and left there."""
    folder = comparison.folder / "-".join(part for part in (learner, chosen, str(seed)) if part)
    path = folder / f"judged-{comparison.steps}-{comparison.episodes}.json"
    if path.is_file():
        try:
            known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError("a judgement cannot be read", where=str(path), right="delete it") from error
        return known
    cost, begin = 0.0, EVAL_SEED + seed
    if learner == "nearest-replay":
        played = play(NearestReplay(comparison.data), comparison.task, episodes=comparison.episodes, seed=begin)
    else:
        data, name = comparison.data, learner
        if learner == "shuffled-actions":
            rng = np.random.default_rng(seed)
            data, name = shuffled(data, rng), "bc"
        own, scaling = _settings(comparison, learner, chosen), _scaling(comparison, learner)
        plan = OfflinePlan(name, own, comparison.steps, seed, **scaling)
        run = OfflineRun(plan, data, folder)
        run.learn(log_every=1000, keep_every=KEEP_EVERY)
        cost = 1e3 * run.history[-1]["cpu_s"] / comparison.steps
        played = play_run(run, comparison.task, episodes=comparison.episodes, seed=begin)
    success = None if played.succeeded is None else float(played.succeeded.mean())
    result = {"return": float(played.returns.mean()), "success": success, "step_cpu_ms": cost}
    write_text(path, json.dumps(result) + "\n")
    return result
