"""Loads a trial of BROAD as published (``.mat``) into an ImuRecording.

Laidig, Caruso, Cereatti, Seel, "BROAD - a benchmark for robust inertial orientation estimation", Data 6(7), 2021,
doi 10.3390/data6070072 (CC BY 4.0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import RecordingError
from knuckle.sensors.matlab5 import read_arrays
from knuckle.sensors.recording import ImuRecording

FIELDS = ("imu_gyr", "imu_acc", "imu_mag", "opt_quat", "movement", "sampling_rate")
_TESLA_PER_MICROTESLA = 1e-6


def load(path: Path) -> ImuRecording:
    """The trial at ``path``; stamps begin at 0 and follow the sampling rate.

    Raises RecordingError where the file is absent, truncated, foreign, lacks a field, or holds what a recording may
    not (see ImuRecording).
    """
    path, where = Path(path), str(path)
    arrays = read_arrays(path, frozenset(FIELDS))
    missing = [name for name in FIELDS if name not in arrays]
    if missing:
        right = f"a BROAD trial, which has {', '.join(FIELDS)}"
        raise RecordingError(f"missing field {', '.join(map(repr, missing))}", where=where, right=right)
    gyr = _rows(arrays, "imu_gyr", 3, where)
    n = len(gyr)
    if n == 0:
        raise RecordingError("the recording is empty", where=where, right="at least one sample")
    acc, mag, truth = (_rows(arrays, *spec, where, n) for spec in (("imu_acc", 3), ("imu_mag", 3), ("opt_quat", 4)))
    movement = _rows(arrays, "movement", 1, where, n)[:, 0]
    if not np.isin(movement, (0.0, 1.0)).all():
        raise RecordingError("'movement' holds more than 0 and 1", where=where, right="0 or 1 in every sample")
    for field, rows in (("imu_gyr", gyr), ("imu_acc", acc), ("imu_mag", mag)):
        _require_finite(field, rows, where)
    rate_hz = _rate(arrays["sampling_rate"], where)
    return ImuRecording(
        name=where,
        rate_hz=rate_hz,
        stamps_ns=np.rint(np.arange(n) * (1e9 / rate_hz)).astype(np.int64),
        gyr=gyr,
        acc=acc,
        mag=mag * _TESLA_PER_MICROTESLA,
        truth=truth,
        movement=movement.astype(np.bool_),
    )


def _rows(
    arrays: dict[str, NDArray[np.generic]], field: str, columns: int, where: str, n: int | None = None
) -> NDArray[np.float64]:
    """The array as (n, columns) float64, row after row in memory."""
    array = arrays[field]
    if array.ndim != 2 or array.shape[1] != columns or n not in (None, len(array)):
        right = f"shape ({'N' if n is None else n}, {columns})"
        raise RecordingError(f"'{field}' has shape {array.shape}", where=where, right=right)
    return np.ascontiguousarray(array, dtype=np.float64)


def _require_finite(field: str, rows: NDArray[np.float64], where: str) -> None:
    good = np.isfinite(rows).all(axis=1)
    if not good.all():
        what = f"'{field}' is not finite at sample {int(np.argmin(good))}"
        raise RecordingError(what, where=where, right="numbers in every sample")


def _rate(array: NDArray[np.generic], where: str) -> float:
    rate = float(array.reshape(-1)[0]) if array.size == 1 else float("nan")
    if not 1.0 <= rate <= 1e5:
        what = f"'sampling_rate' is {rate:g}" if array.size == 1 else f"'sampling_rate' has shape {array.shape}"
        right = "one number from 1 to 100000 Hz, so that time runs forwards"
        raise RecordingError(what, where=where, right=right)
    return rate
