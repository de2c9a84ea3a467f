"""Motions that BROAD's few trials tell as well: turned, mirrored, made smaller or larger, two at a time.

In the level frame velocity is linear in acceleration without gravity, so whatever is done to both alike gives another
true pair: a turn about the vertical (RoNIN's in the paper), a mirror (the rate of turning is an axial vector), a
factor, and the sum of two motions. What is not right in it is the same as in a recording of the sum, to first order:
errors of inclination let gravity into the acceleration, and these add up too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from knuckle.sensors.hiss.trial import CHUNK, Trial

Array = NDArray[np.float64]
LOG_FACTOR = (-0.7, 0.9)
"""A motion is made 0.5 to 2.5 times as large."""
SUMS = 0.5
"""Share of the trials to which the motion of another is added."""


def varied(trials: Sequence[Trial], rng: np.random.Generator) -> list[Trial]:
    """The trials of one epoch: each turned, mirrored and scaled by what is drawn, half with another's motion added."""
    own = [_varied(trial, rng) for trial in trials]
    partners = rng.integers(len(own), size=len(own))
    return [
        added(trial, own[k], int(rng.integers(len(own[k])))) if rng.random() < SUMS else trial
        for trial, k in zip(own, partners, strict=True)
    ]


def turned(rows: Array, angle: float) -> Array:
    """Rows (..., 3 k) of vectors, each turned about the vertical by ``angle`` rad."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    vectors = rows.reshape(*rows.shape[:-1], -1, 3)
    return np.asarray((vectors @ matrix.T).reshape(rows.shape))


def mirrored(trial: Trial) -> Trial:
    """The trial in a mirror across the level frame's x z plane."""
    axial = np.where(_polar(trial), 1.0, -1.0)
    return _with(
        trial, trial.inputs * np.tile([1.0, -1.0, 1.0], len(axial) // 3) * axial, trial.targets * [1.0, -1.0, 1.0]
    )


def scaled(trial: Trial, factor: float) -> Trial:
    """The trial's translation ``factor`` times as large, in the same time; it turns as before."""
    return _with(trial, trial.inputs * np.where(_polar(trial), factor, 1.0), trial.targets * factor)


def added(trial: Trial, other: Trial, start: int) -> Trial:
    """``trial`` with the translation of ``other`` from its sample ``start`` on, again and again.

    Trials begin and end at rest. The rate of turning stays the trial's. A target is known where both are, and not
    within the chunk where ``other`` begins anew.
    """
    rows = (np.arange(len(trial)) + start) % len(other)
    more = other.targets[rows]
    more[rows < CHUNK] = np.nan
    inputs = trial.inputs + np.where(_polar(trial), other.inputs[rows], 0.0)
    targets = trial.targets + more
    return Trial(trial.name, trial.group, inputs, targets, trial.scored & np.isfinite(targets).all(axis=1))


def _varied(trial: Trial, rng: np.random.Generator) -> Trial:
    angle, mirror, factor = rng.uniform(-np.pi, np.pi), rng.random() < 0.5, np.exp(rng.uniform(*LOG_FACTOR))
    seen = mirrored(trial) if mirror else trial
    seen = scaled(seen, float(factor))
    return _with(seen, turned(seen.inputs, float(angle)), turned(seen.targets, float(angle)))


def _with(trial: Trial, inputs: Array, targets: Array) -> Trial:
    return Trial(trial.name, trial.group, inputs, targets, trial.scored)


def _polar(trial: Trial) -> NDArray[np.bool_]:
    """Which inputs tell the translation: all but the second vector, which is the rate of turning."""
    return np.asarray(np.arange(trial.inputs.shape[1]) // 3 != 1)
