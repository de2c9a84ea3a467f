"""Runs a recording through a stream without waiting, and scores estimates against its truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from knuckle.sensors.estimator import Array
from knuckle.sensors.imu_stream import ImuStreamConfig, PairedStream
from knuckle.sensors.orientation_error import OrientationRmse, rmse
from knuckle.sensors.recording import ImuRecording

E = TypeVar("E")
_BEYOND_GYR, _BEYOND_ACC = 1e3, 1e5  # rad/s and m/s^2


def stream_config(recording: ImuRecording, estimator: str = "vqf") -> ImuStreamConfig:
    """The stream a recording is made for: the node that estimates it live is configured with the same.

    A recording does not say where its sensor saturates, and calibrated readings pass the nominal range: they are taken
    as they are, up to what no IMU reads.
    """
    return ImuStreamConfig(
        rate_hz=recording.rate_hz,
        magnetometer=recording.mag is not None,
        gyr_limit=_BEYOND_GYR,
        acc_limit=_BEYOND_ACC,
        estimator=estimator,
    )


def replay(recording: ImuRecording, stream: PairedStream[E]) -> Iterator[E]:
    """The estimates of ``recording``, in order; fields and readings go in as the player publishes them."""
    for i, stamp in enumerate(recording.stamps_ns.tolist()):
        if recording.mag is not None:
            yield from stream.mag(stamp, recording.mag[i])
        yield from stream.imu(stamp, recording.gyr[i], recording.acc[i])


def score(
    recording: ImuRecording, stamps_ns: NDArray[np.int64], orientations: Array
) -> tuple[OrientationRmse | None, int]:
    """The RMSE over movement samples with a truth, and the number of samples that no estimate came back for.

    ``stamps_ns`` (M,) are times of the recording, each with its orientation (M, 4); the RMSE is None where the
    recording has no truth. A missing estimate is not scored but counted.
    """
    known = np.isin(recording.stamps_ns, stamps_ns)
    dropped = int(len(recording) - known.sum())
    if recording.truth is None:
        return None, dropped
    aligned = np.full((len(recording), 4), np.nan)
    aligned[known] = orientations[np.searchsorted(stamps_ns, recording.stamps_ns[known])]
    moving = known if recording.movement is None else known & recording.movement
    return rmse(aligned, recording.truth, moving), dropped


def digest(orientations: Array) -> str:
    """A short name for the exact bits of all estimates: equal digests, equal estimates."""
    return hashlib.sha256(np.ascontiguousarray(orientations, dtype="<f8").tobytes()).hexdigest()[:12]
