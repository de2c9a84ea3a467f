"""Orientation on BROAD: a model's correction of VQF beside VQF and its hard-iron rival, as BROAD scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.sensors import broad
from knuckle.sensors.hiss.box_mean import SLACK_NS, box_mean, periods
from knuckle.sensors.hiss.features import features
from knuckle.sensors.hiss.gaussian_factors import factors
from knuckle.sensors.hiss.model_files import SensorModel
from knuckle.sensors.hiss.orientation_task import RATE_HZ, filtered
from knuckle.sensors.hiss.pieces import Piece
from knuckle.sensors.hiss.predict import outputs
from knuckle.sensors.hiss.trial import CHUNK
from knuckle.sensors.hiss.unit_check import require_si
from knuckle.sensors.orientation_error import OrientationRmse, rmse
from knuckle.sensors.recording import ImuRecording

Array = NDArray[np.float64]
METHODS = ("model", "vqf", "hard_iron", "hard_iron_slow")
"""The model; VQF as it comes, corrected for hard iron, and corrected with a magnetometer of `SLOW_S`."""


@dataclass(frozen=True)
class OrientationScore:
    """One trial: the errors of each of `METHODS`."""

    name: str
    disturbed: bool
    rmse: dict[str, OrientationRmse]


def score_folder(model: SensorModel, folder: Path, *, unseen: bool) -> list[OrientationScore]:
    """Every trial of BROAD in ``folder``, or those that training never saw. InputError where there is none."""
    paths = [p for p in sorted(folder.glob("*.mat")) if not (unseen and p.stem in model.card.seen)]
    if not paths:
        right = "other recordings, or --part all to look at what it was trained on"
        raise InputError("no trials of the part unseen", where=str(folder), right=right)
    return [score(model, broad.load(path), path.stem) for path in paths]


def score(model: SensorModel, recording: ImuRecording, name: str) -> OrientationScore:
    """The errors on one recording with optical truth."""
    require_si(recording)
    if recording.truth is None:
        raise InputError("no optical truth", where=name, right="a BROAD trial")
    made = filtered(recording)
    turn = corrections(model, recording, made.rows)
    filters = (made.vqf, made.rival, made.slow_rival)
    estimates = dict(zip(METHODS, (turned(made.vqf, turn), *filters), strict=True))
    errors = {m: rmse(estimates[m], recording.truth, recording.movement) for m in METHODS}
    return OrientationScore(name, "undisturbed" not in name, errors)


def corrections(model: SensorModel, recording: ImuRecording, rows: Array) -> Array:
    """The heading correction at each sample (N,), rad: that of the newest chunk that is over, 0 before the first."""
    card, ends = model.card, periods(recording.stamps_ns, RATE_HZ)
    read = features(box_mean(recording.stamps_ns, rows, RATE_HZ), card.training.features, RATE_HZ, card.inputs)
    k = len(read) // CHUNK
    nothing = np.zeros(k, dtype=np.bool_)
    raw = outputs(model.network, [Piece(read[: k * CHUNK], np.zeros((k, 1)), nothing, nothing)])[0]
    taken = np.concatenate([[0.0], card.targets.back(factors(raw)[0])[:, 0]])
    over = ends[CHUNK - 1 : k * CHUNK : CHUNK]
    newest = np.searchsorted(over - SLACK_NS, recording.stamps_ns, side="right")
    return np.asarray(taken[newest])


def turned(orientation: Array, heading: Array) -> Array:
    """``orientation`` (N, 4) turned by ``heading`` (N,) rad about the vertical."""
    axis = np.broadcast_to([0.0, 0.0, 1.0], (*heading.shape, 3))
    return rotations.multiply(rotations.from_axis_angle(axis, heading), orientation)


def figures_of(scores: Sequence[OrientationScore]) -> dict[str, float]:
    """Geometric means over trials of the model's RMSE by each rival's, and of each method its mean RMSE in degrees."""
    found: dict[str, float] = {}
    groups = {"disturbed": [s for s in scores if s.disturbed], "undisturbed": [s for s in scores if not s.disturbed]}
    for rival in METHODS[1:]:
        for group, own in groups.items():
            found[f"rmse_total_ratio_to_{rival}_{group}"] = _geometric([_ratio(s, rival, "total_deg") for s in own])
        inclination = [_ratio(s, rival, "inclination_deg") for s in scores]
        found[f"rmse_inclination_ratio_to_{rival}_mean"] = _geometric(inclination)
        found[f"rmse_inclination_ratio_to_{rival}_worst"] = max(inclination)
    for method in METHODS:
        for part in ("total", "heading", "inclination"):
            values = [getattr(s.rmse[method], f"{part}_deg") for s in scores]
            found[f"{method}_rmse_{part}_deg"] = float(np.mean(values))
    return found


def interval(scores: Sequence[OrientationScore], rival: str, *, disturbed: bool, seed: int) -> tuple[float, float]:
    """95% of the geometric mean of the total ratio, trials drawn anew."""
    logs = np.log([_ratio(s, rival, "total_deg") for s in scores if s.disturbed == disturbed])
    if not len(logs):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = np.exp(logs[rng.integers(0, len(logs), (2000, len(logs)))].mean(axis=1))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _ratio(score: OrientationScore, rival: str, part: str) -> float:
    return float(getattr(score.rmse["model"], part) / getattr(score.rmse[rival], part))


def _geometric(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")
