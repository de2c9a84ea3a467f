"""How far off a model is on trials, and whether its covariance keeps what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError, unknown_name
from knuckle.sensors.hiss import gaussian_factors
from knuckle.sensors.hiss.coverage import coverage
from knuckle.sensors.hiss.features import features
from knuckle.sensors.hiss.model_files import SensorModel
from knuckle.sensors.hiss.pieces import whole
from knuckle.sensors.hiss.predict import outputs
from knuckle.sensors.hiss.splits import Split
from knuckle.sensors.hiss.spread import misses_of
from knuckle.sensors.hiss.trial import Trial
from knuckle.sensors.hiss.unit_check import require_scale

Array = NDArray[np.float64]
PARTS = ("unseen", "validation", "test", "all")


@dataclass(frozen=True)
class TrialScore:
    """One trial: ``squared`` errors (n, T) in the task's units and ``distances`` (n,) by the covariance, both over
    scored targets; ``mean`` and ``deviation`` (K, T) of all estimates and ``targets`` (K, T) beside, to be drawn."""

    name: str
    group: str
    squared: Array
    distances: Array
    mean: Array
    deviation: Array
    targets: Array

    @property
    def mse(self) -> float:
        """Mean squared error over targets and their columns; NaN where nothing is scored."""
        return float(self.squared.mean()) if self.squared.size else float("nan")


def choose(trials: Sequence[Trial], part: str, split: Split, seen: frozenset[str], *, where: str) -> list[Trial]:
    """The trials of ``part``: unseen by training and early stopping, of the split's parts, or all.

    InputError where there is none.
    """
    if part not in PARTS:
        raise unknown_name("part", part, PARTS, where="--part")
    groups = {"validation": split.validation, "test": split.test}.get(part)
    chosen = [t for t in trials if (groups is None or t.group in groups) and (part != "unseen" or t.name not in seen)]
    if not chosen:
        right = "other recordings, or --part all to look at what it was trained on"
        raise InputError(f"no trials of the part {part}", where=where, right=right)
    return chosen


def score(model: SensorModel, trials: Sequence[Trial]) -> list[TrialScore]:
    """The scores of ``model`` on ``trials``; RecordingError where a trial's units are plainly others."""
    card = model.card
    config = card.training.features
    pieces = []
    for trial in trials:
        require_scale(trial, card.channels, config, card.inputs)
        read = features(trial.inputs, config, card.channels.rate_hz, card.inputs)
        pieces.append(whole(trial, read, card.training.look_ahead))
    scores = []
    for trial, piece, raw in zip(trials, pieces, outputs(model.network, pieces), strict=True):
        z, lower = gaussian_factors.factors(raw)
        mean = card.targets.back(z)
        deviation = card.spread.factor(z)[:, None] * card.targets.scale * np.sqrt(np.square(lower).sum(axis=-1))
        kept = piece.scored
        misses = misses_of(raw[kept], card.targets(piece.targets[kept]))
        scores.append(
            TrialScore(
                name=trial.name,
                group=trial.group,
                squared=np.square(mean - piece.targets)[kept],
                distances=card.spread.distances(misses),
                mean=mean,
                deviation=deviation,
                targets=piece.targets,
            )
        )
    return scores


def figures_of(scores: Sequence[TrialScore], model: SensorModel) -> dict[str, float]:
    """MSE, RMSE of each target, coverage, and the MSE of an estimate that always gives the training targets' mean."""
    squared = np.concatenate([s.squared for s in scores])
    targets = model.card.channels.targets
    found = {"mse": float(squared.mean())}
    found |= {f"rmse_{entry.name}": float(np.sqrt(squared[:, k].mean())) for k, entry in enumerate(targets)}
    covered = coverage(np.concatenate([s.distances for s in scores]), len(targets))
    found |= {f"coverage_{round(100 * level)}": share for level, share in covered.items()}
    still = np.concatenate(
        [np.square(s.targets - model.card.targets.mean)[np.isfinite(s.targets).all(axis=1)] for s in scores]
    )
    return found | {"mean_estimate_mse": float(still.mean())}
