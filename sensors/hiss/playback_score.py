"""What came of a recording that a model was given as a stream: how many estimates, how far off, how honest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.figures import write_text
from knuckle.sensors.hiss.coverage import coverage
from knuckle.sensors.hiss.model_card import SensorCard
from knuckle.sensors.hiss.playback import Playback
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle.sensors.hiss.trace_plot import trace_plot

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """K estimates of a recording, at its ``stamps_ns`` (K,): ``mean`` (K, T), ``covariance`` (K, T, T) with NaN where
    an estimate should not be acted upon, ``valid`` (K,)."""

    stamps_ns: NDArray[np.int64]
    mean: Array
    covariance: Array
    valid: NDArray[np.bool_]


def trace_of(estimates: Sequence[StateEstimate], targets: int) -> Trace:
    """Estimates as arrays."""
    k = len(estimates)
    return Trace(
        np.array([e.stamp_ns for e in estimates], dtype=np.int64),
        np.array([e.mean for e in estimates]).reshape(k, targets),
        np.array([e.covariance for e in estimates]).reshape(k, targets, targets),
        np.array([e.valid for e in estimates], dtype=np.bool_),
    )


def errors_of(trace: Trace, playback: Playback, card: SensorCard) -> dict[str, float] | None:
    """RMSE of all targets and of each, coverage, and the number of estimates that have a truth; None without any.

    Estimates that should not be acted upon are left out.
    """
    if playback.truth is None or not len(trace.stamps_ns):
        return None
    truth = playback.truth(trace.stamps_ns)
    kept = np.isfinite(truth).all(axis=1) & trace.valid
    if not kept.any():
        return None
    error = trace.mean[kept] - truth[kept]
    found = {"n": float(kept.sum()), "rmse": float(np.sqrt(np.mean(np.square(error))))}
    for k, entry in enumerate(card.channels.targets):
        found[f"rmse_{entry.name}"] = float(np.sqrt(np.mean(np.square(error[:, k]))))
    distances = np.einsum("kt,kt->k", error, np.linalg.solve(trace.covariance[kept], error[..., None])[..., 0])
    shares = coverage(distances, error.shape[1])
    return found | {f"coverage_{round(100 * level)}": share for level, share in shares.items()}


def digest(trace: Trace) -> str:
    """A short name for the exact bits of all means: equal digests, equal estimates."""
    return hashlib.sha256(np.ascontiguousarray(trace.mean, dtype="<f8").tobytes()).hexdigest()[:12]


def draw(path: Path, trace: Trace, playback: Playback, card: SensorCard) -> None:
    """Estimates beside the truth as an SVG file."""
    names = [entry.name for entry in card.channels.targets]
    truth = np.full_like(trace.mean, np.nan) if playback.truth is None else playback.truth(trace.stamps_ns)
    times = (trace.stamps_ns - trace.stamps_ns[0]) * 1e-9
    deviation = np.sqrt(np.maximum(np.diagonal(trace.covariance, axis1=1, axis2=2), 0.0))
    picture = trace_plot(Path(playback.name).name, names, times, trace.mean, np.nan_to_num(deviation), truth)
    write_text(path, picture)
