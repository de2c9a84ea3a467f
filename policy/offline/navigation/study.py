"""O-DICE's three gradients, IQL and cloning on the point's recordings: who finds the short way, who bears being pushed.

Each arm has its own lambda (IQL its own expectile), chosen by `selection` on held-out recordings, with fits on
recordings of other seeds than are reported. No walk of any policy is looked at for it. How far the policies' answers
are from what was done in the shorter half of the held-out walks is noted beside it, as ``held_error``.

Every fit leaves a file as soon as it is done, so the study goes on where it was stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.core.figures import write_text
from knuckle.policy.offline.bootstrap import bootstrap_mean
from knuckle.policy.offline.fit import Fit
from knuckle.policy.offline.learners import settings_of
from knuckle.policy.offline.navigation.world import plane, recorded_walks, unseen, walk
from knuckle.policy.offline.selection import held_out_share, most_selective
from knuckle.policy.offline.transitions import Transitions

STEPS, WALKS, NOISES = 2000, 100, {"clean": 0.0, "mild": 0.02, "noise": 0.05}
"""Steps of learning; walks a fit is judged by; deviation of the process noise of each kind of walk."""
CHOICE_SEEDS = (1001, 1002)
HELD_WALKS, HELD_SEED = 20, 50_000
CELLS = 36

_SMALL = {"gamma": "0.98", "width": "64", "batch": "128", "rate": "0.001", "deviation": "false"}
_ODICE = _SMALL | {"squash": "true", "norm": "false", "twin": "false", "policy_width": "64", "weight_decay": "0"}
_LAMBDAS = ("0.4", "0.45", "0.5", "0.6")


@dataclass(frozen=True)
class Arm:
    """A ``learner`` with ``settings``, and the ``choices`` of one more setting, ``chosen``, if any."""

    learner: str
    settings: Mapping[str, str]
    chosen: str = ""
    choices: tuple[str, ...] = ("",)


ARMS: dict[str, Arm] = {
    "orthogonal": Arm("odice", _ODICE, "lam", _LAMBDAS),
    "semi": Arm("odice-semi", _ODICE, "lam", _LAMBDAS),
    "true": Arm("odice-true", _ODICE, "lam", _LAMBDAS),
    "iql": Arm("iql", _SMALL, "expectile", ("0.7", "0.9")),
    "bc": Arm("bc", {"width": "64", "batch": "128", "rate": "0.001"}),
}

Result = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """What came of it: ``results`` of each arm at the value it chose, a seed each, and of the fits it chose by."""

    chosen: dict[str, str]
    results: dict[str, list[Result]]
    tried: dict[str, dict[str, list[Result]]]

    def figures(self) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        """Means over the seeds as ``success_noise_orthogonal``, and 95% bootstrap intervals of them."""
        figures: dict[str, float] = {}
        intervals: dict[str, tuple[float, float]] = {}
        rng = np.random.default_rng(0)
        for arm, results in self.results.items():
            for name in sorted({key for result in results for key in result["figures"]}):
                values = [value for r in results if (value := r["figures"].get(name)) is not None]
                key = f"{name}_{arm}"
                figures[key] = float(np.mean(values)) if values else float("nan")
                intervals[key] = bootstrap_mean(values, rng)
            if self.chosen[arm]:
                figures[f"{ARMS[arm].chosen}_{arm}"] = float(self.chosen[arm])
        return figures, intervals


def run_study(seeds: int, folder: Path, said: Callable[[str], object]) -> Study:
    """All fits that are not done yet, then what they say; their files lie in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    tried: dict[str, dict[str, list[Result]]] = {}
    chosen: dict[str, str] = {}
    for name, arm in ARMS.items():
        tried[name] = {}
        for choice in arm.choices if arm.chosen else ():
            tried[name][choice] = [fit_of(name, choice, seed, folder, said) for seed in CHOICE_SEEDS]
        shares = {choice: float(np.mean([r["held_share"] for r in found])) for choice, found in tried[name].items()}
        chosen[name] = most_selective(shares) if shares else ""
        if arm.chosen:
            said(f"{name}: {arm.chosen} {chosen[name]}, of {', '.join(f'{c} {s:.2f}' for c, s in shares.items())}")
    results: dict[str, list[Result]] = {name: [] for name in ARMS}
    for seed in range(seeds):
        for name in ARMS:
            results[name].append(fit_of(name, chosen[name], seed, folder, said))
    return Study(chosen, results, tried)


def fit_of(name: str, choice: str, seed: int, folder: Path, said: Callable[[str], object]) -> Result:
    """The fit of the arm ``name`` on the recordings of ``seed``: read from ``folder``, or made and left there."""
    path = folder / f"{name}-{choice or 'only'}-{seed}.json"
    if path.is_file():
        try:
            result: Result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError("a fit cannot be read", where=str(path), right="delete it: it is made again") from error
        if result.get("steps") == STEPS and "held_share" in result:
            return result
    result = _fit(name, choice, seed)
    write_text(path, json.dumps(result) + "\n")
    walked = result["figures"]
    said(f"{name} {choice} seed {seed}: {walked['success_noise']:.0%} under noise, {result['cpu_s']:.1f} CPU s")
    return result


def _fit(name: str, choice: str, seed: int) -> Result:
    arm, used = ARMS[name], time.process_time()
    changes = dict(arm.settings) | ({arm.chosen: choice} if arm.chosen else {})
    recorded = recorded_walks(seed)
    fit = Fit(arm.learner, settings_of(arm.learner, changes), recorded, seed=seed)
    last: dict[str, float] = {}
    fit.run(STEPS, log_every=STEPS, noted=lambda step, figures: last.update(figures))
    figures: dict[str, float | None] = {}
    for kind, noise in NOISES.items():
        walks = walk(fit.act, noise=noise, count=WALKS, rng=np.random.default_rng([seed, 7]))
        figures[f"success_{kind}"] = walks.success
        figures[f"path_steps_{kind}"] = walks.mean_steps if np.isfinite(walks.mean_steps) else None
    figures["path_steps"] = figures.pop("path_steps_clean")
    values, held = fit.value(plane(CELLS)), recorded_walks(HELD_SEED + seed, HELD_WALKS)
    share = held_out_share(fit, held) if arm.chosen else None
    result: Result = {"steps": STEPS, "held_error": _held_error(fit, held), "held_share": share, "explained": last}
    if values is not None:
        seen = fit.value(recorded.observations)
        far = values[unseen(plane(CELLS), recorded)]
        if seen is not None:
            spread = float(seen.std()) + 1e-8
            figures["value_unseen_z"] = float((far.mean() - seen.mean()) / spread)
            figures["value_unseen_max_z"] = float((far.max() - seen.max()) / spread)
        result["plane"] = [round(float(value), 4) for value in values]
    return result | {"figures": figures, "cpu_s": time.process_time() - used}


def _held_error(fit: Fit, held: Transitions) -> float:
    """Mean squared distance of the policy's actions from those in the shorter half of the walks ``held``."""
    numbers, returns = held.episode_returns()
    best = held.take(np.isin(held.episode, numbers[np.argsort(-returns, kind="stable")[: HELD_WALKS // 2]]))
    return float(((fit.act(best.observations) - best.actions) ** 2).mean())
