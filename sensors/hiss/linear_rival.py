"""The linear bar beside a model: ridge on a window of the same inputs, fitted on the task's training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from knuckle.sensors.hiss.features import FeatureConfig, raw_features
from knuckle.sensors.hiss.pieces import Piece, whole
from knuckle.sensors.hiss.trial import CHUNK, Trial
from knuckle.sensors.window_ridge import WindowRidge, fit_ridge

Array = NDArray[np.float64]


def fit_linear(trials: Sequence[Trial], config: FeatureConfig, rate_hz: float, window_s: float) -> WindowRidge:
    """Fitted on every stretch of ``trials`` whose targets are known; it sees as much as a model without look ahead."""
    window = max(CHUNK, round(window_s * rate_hz))
    pairs = [pair for trial in trials for pair in _stretches(_read(trial, config, rate_hz))]
    return fit_ridge(pairs, window=window, every=CHUNK)


def linear_errors(ridge: WindowRidge, trials: Sequence[Trial], config: FeatureConfig, rate_hz: float) -> list[Array]:
    """Squared errors (n, T) over the scored targets of each trial, in the order of a model's."""
    errors = []
    for trial in trials:
        piece = _read(trial, config, rate_hz)
        errors.append(np.square(ridge(piece.features.astype(np.float64)) - piece.targets)[piece.scored])
    return errors


def _read(trial: Trial, config: FeatureConfig, rate_hz: float) -> Piece:
    """The trial with the model's preprocessing, but for differences, which a window has in it."""
    return whole(trial, raw_features(trial.inputs, replace(config, deltas=False), rate_hz).astype(np.float32), 0)


def _stretches(piece: Piece) -> list[tuple[Array, Array]]:
    """Inputs and targets of each run of known targets."""
    edges = np.flatnonzero(np.diff(piece.known.astype(np.int8))) + 1
    runs = [run for run in np.split(np.arange(len(piece.known)), edges) if piece.known[run[0]]]
    return [
        (piece.features[CHUNK * run[0] : CHUNK * (run[-1] + 1)].astype(np.float64), piece.targets[run]) for run in runs
    ]
