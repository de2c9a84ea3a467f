"""A recording as a trained model is to be given it: what is played, the truth beside it, and what is refused first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError, RecordingError
from knuckle.sensors import imu_file
from knuckle.sensors.hiss.box_mean import box_mean
from knuckle.sensors.hiss.live_model import IMU_TASKS, needs_field, task_of
from knuckle.sensors.hiss.model_card import SensorCard
from knuckle.sensors.hiss.skin_task import CHANNELS
from knuckle.sensors.hiss.table_file import header_of, read_columns, stamps_of
from knuckle.sensors.hiss.trial import CHUNK, Trial, require_varied
from knuckle.sensors.hiss.unit_check import require_scale, require_si
from knuckle.sensors.matlab5 import read_arrays
from knuckle.sensors.recording import ImuRecording
from knuckle.sensors.sample_grid import TOLERANCE
from knuckle.sensors.skin_recording import SkinStrokes

Array = NDArray[np.float64]
Stamps = NDArray[np.int64]
MEAN_S = 0.2
"""Velocity is the mean over so long."""


@dataclass(frozen=True)
class Playback:
    """``imu`` or ``rows`` (N, D) at ``stamps_ns`` (N,) and about ``rate_hz``; ``channels`` name the rows' columns.

    ``truth`` gives the targets (K, T) at stamps (K,), NaN where it is not known; None where there is none at all.
    """

    name: str
    rate_hz: float
    stamps_ns: Stamps
    imu: ImuRecording | None = None
    rows: Array | None = None
    channels: tuple[str, ...] = ()
    truth: Callable[[Stamps], Array] | None = None

    def __len__(self) -> int:
        return len(self.stamps_ns)


def open_playback(card: SensorCard, path: Path, start_s: float = 0.0, seconds: float = 0.0) -> Playback:
    """The recording at ``path`` for the model of ``card``, from ``start_s`` on for ``seconds`` (0: to the end).

    RecordingError in one line for what the model cannot be given: another kind of file, unknown columns, a constant
    channel, fewer samples than a chunk, a rate below the model's, units that are plainly others.
    """
    task = task_of(card)
    if task in IMU_TASKS:
        found = _imu(card, path, start_s, seconds)
    elif task == "skin":
        found = _skin(path, start_s, seconds)
    else:
        found = _table(card, path, start_s, seconds)
    wanted = card.channels.rate_hz
    span_s = float(found.stamps_ns[-1] - found.stamps_ns[0]) / 1e9 + 1.0 / found.rate_hz
    if span_s * wanted < CHUNK - 0.01:
        what = f"{span_s:.3g} s are shorter than a chunk"
        raise RecordingError(what, where=str(path), right=f"at least {CHUNK} samples at {wanted:g} Hz")
    if found.rate_hz < (1.0 - TOLERANCE) * wanted:
        what = f"recorded at {found.rate_hz:.4g} Hz"
        raise RecordingError(what, where=str(path), right=f"{wanted:g} Hz or more, at which the model was trained")
    if found.rows is not None:
        _require_fit(card, found, path)
    return found


def _imu(card: SensorCard, path: Path, start_s: float, seconds: float) -> Playback:
    whole = imu_file.load(path)
    if needs_field(card) and whole.mag is None:
        raise RecordingError("no magnetic field", where=str(path), right="a recording of nine axes for this model")
    recording = whole.part(start_s, seconds)
    require_si(recording)
    truth = _velocity_truth(path, whole) if task_of(card) == "velocity" and path.suffix == ".mat" else None
    return Playback(str(path), recording.rate_hz, recording.stamps_ns, imu=recording, truth=truth)


def _velocity_truth(path: Path, whole: ImuRecording) -> Callable[[Stamps], Array] | None:
    """Mean optical velocity over 0.2 s in the sensor's frame at their end, as the velocity task has it."""
    position = read_arrays(path, frozenset({"opt_pos"})).get("opt_pos")
    if position is None or position.shape != (len(whole), 3) or whole.truth is None:
        return None
    places, orientation = np.asarray(position, dtype=np.float64), whole.truth

    def truth(stamps: Stamps) -> Array:
        now, before = (
            np.stack([np.interp(stamps - back, whole.stamps_ns, column) for column in places.T], axis=1)
            for back in (0, round(MEAN_S * 1e9))
        )
        at = np.clip(np.searchsorted(whole.stamps_ns, stamps + 1, side="right") - 1, 0, len(whole) - 1)
        body = rotations.rotate(rotations.conjugate(orientation[at]), (now - before) / MEAN_S)
        known = (stamps - whole.stamps_ns[0] >= MEAN_S * 1e9) & np.isfinite(body).all(axis=1)
        return np.where(known[:, None], body, np.nan)

    return truth


def _skin(path: Path, start_s: float, seconds: float) -> Playback:
    if path.suffix != ".safetensors" or not path.stem.isdigit():
        right = "a stroke of knuckle data skin, FOLDER/strokes/000000.safetensors"
        raise RecordingError("no stroke of a skin", where=str(path), right=right)
    strokes = SkinStrokes(path.parent.parent)
    if strokes.channels != CHANNELS:
        right = f"the {len(CHANNELS)} of five magnetometers"
        raise RecordingError(f"{len(strokes.channels)} channels", where=str(path), right=right)
    stroke = strokes.stroke(int(path.stem))
    stamps = np.rint(np.arange(len(stroke)) * (1e9 / stroke.rate_hz)).astype(np.int64)
    ends = stamps[stroke.every - 1 :: stroke.every]
    part = _part(stamps, start_s, seconds, path)
    signals = np.asarray(stroke.signals[part])
    return Playback(
        str(path), stroke.rate_hz, stamps[part], rows=signals, channels=CHANNELS, truth=_at(ends, stroke.velocity)
    )


def _table(card: SensorCard, path: Path, start_s: float, seconds: float) -> Playback:
    if path.suffix not in (".csv", ".mcap"):
        raise RecordingError("no table", where=str(path), right="a .csv or .mcap file with the model's columns")
    time = str(card.training.task.get("time", "t"))
    names = tuple(entry.name for entry in card.channels.inputs)
    targets = tuple(entry.name for entry in card.channels.targets)
    there = path.suffix == ".csv" and set(targets) <= set(header_of(path))
    table = read_columns(path, (time, *names, *(targets if there else ())))
    stamps = stamps_of(table[:, 0], time, where=str(path))
    part = _part(stamps, start_s, seconds, path)
    if part.sum() < 2:
        raise RecordingError("the recording has one row", where=str(path), right=f"at least {CHUNK}")
    rate_hz = 1e9 / float(np.median(np.diff(stamps[part])))
    known = _at(stamps, table[:, 1 + len(names) :]) if there else None
    rows = np.ascontiguousarray(table[part, 1 : 1 + len(names)])
    return Playback(str(path), rate_hz, stamps[part], rows=rows, channels=names, truth=known)


def _at(ends: Stamps, values: Array) -> Callable[[Stamps], Array]:
    """``values`` (K, T) at the stamps that they are for, NaN elsewhere."""

    def truth(stamps: Stamps) -> Array:
        found = np.full((len(stamps), values.shape[1]), np.nan)
        place = np.clip(np.searchsorted(ends, stamps - 1000), 0, len(ends) - 1)
        known = np.abs(ends[place] - stamps) <= 1000
        found[known] = values[place[known]]
        return found

    return truth


def _part(stamps: Stamps, start_s: float, seconds: float, path: Path) -> NDArray[np.bool_]:
    t = (stamps - stamps[0]) * 1e-9
    kept = (t >= start_s) & ((t < start_s + seconds) | (seconds <= 0.0))
    if not kept.any():
        what, right = f"no samples from {start_s:g} s on", f"a start before {t[-1]:.1f} s"
        raise RecordingError(what, where=str(path), right=right)
    return np.asarray(kept)


def _require_fit(card: SensorCard, found: Playback, path: Path) -> None:
    """What a trial is held to: numbers in every row, no channel dead, the units of training."""
    assert found.rows is not None
    good = np.isfinite(found.rows).all(axis=1)
    if not good.all():
        what = f"an input is empty or not finite in row {int(np.argmin(good))}"
        raise RecordingError(what, where=str(path), right="numbers in every row")
    rows = box_mean(found.stamps_ns, found.rows, card.channels.rate_hz)
    nothing = np.full((len(rows), len(card.channels.targets)), np.nan)
    trial = Trial(str(path), "", rows, nothing, np.zeros(len(rows), dtype=np.bool_))
    require_varied(trial, card.channels)
    if card.training.features.low_pass == "zero_phase":
        raise InputError("a zero-phase filter looks ahead", where=card.card.name, right="a causal one, to stream")
    require_scale(trial, card.channels, card.training.features, card.inputs)
