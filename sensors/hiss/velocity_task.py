"""The paper's second kind of task on BROAD: accelerometer and gyroscope in, displacement per 0.2 s out.

BROAD (Laidig, Caruso, Cereatti, Seel, Data 6(7), 2021, CC BY 4.0) at 50 Hz. The target at a sample is the mean
velocity over the 0.2 s that end with it, from optical positions: one-step differences at 5 Hz, as the paper's. Gravity
is taken off with the inclination of VQF without a magnetometer, which a stream has too, never with optical truth.

Frames: ``level`` is VQF's own earth frame, whose heading is arbitrary and drifts slowly; ``body`` is the sensor's. The
target in one is that in the other turned by VQF's estimate, so their errors can be compared. In ``level`` training
sees motions that are turned, mirrored, scaled and added up: `velocity_variation`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vqf import VQF

from knuckle.core import rotations
from knuckle.core.cards import Entry
from knuckle.core.errors import InputError
from knuckle.sensors import broad
from knuckle.sensors.hiss.box_mean import box_mean, periods
from knuckle.sensors.hiss.splits import broad_group
from knuckle.sensors.hiss.trial import CHUNK, Channels, Trial
from knuckle.sensors.hiss.unit_check import require_si
from knuckle.sensors.leaky_velocity import leaky_velocity
from knuckle.sensors.matlab5 import read_arrays
from knuckle.sensors.recording import ImuRecording

Array = NDArray[np.float64]
RATE_HZ = 50.0
GRAVITY = np.array([0.0, 0.0, 9.81])
FRAMES = ("level", "body")
TAUS_S = (0.5, 1.5, 5.0)
"""Time constants of the leaky integrals of acceleration that stand beside it: a network need not learn to integrate."""


def channels(frame: str) -> Channels:
    """Inputs and targets of the task in ``frame``."""
    inputs = [Entry(f"acc_{axis}", (), "m/s^2, without gravity") for axis in "xyz"]
    inputs += [Entry(f"gyr_{axis}", (), "rad/s") for axis in "xyz"]
    inputs += [Entry(f"leaky_{tau:g}s_{axis}", (), "m/s") for tau in TAUS_S for axis in "xyz"]
    targets = [Entry(f"velocity_{axis}", (), f"m/s, {frame} frame, mean over 0.2 s") for axis in "xyz"]
    return Channels(tuple(inputs), tuple(targets), RATE_HZ)


def load_trials(folder: Path, frame: str) -> list[Trial]:
    """Every trial of BROAD in ``folder``, in order of name. InputError where there is none."""
    paths = sorted(Path(folder).glob("*.mat"))
    if not paths:
        raise InputError("no trials of BROAD (*.mat) in it", where=str(folder), right="the folder of a set's trials")
    return [load_trial(path, frame) for path in paths]


def load_trial(path: Path, frame: str) -> Trial:
    """One trial; RecordingError where it cannot be read or has no positions."""
    recording = broad.load(path)
    position = read_arrays(path, frozenset({"opt_pos"})).get("opt_pos")
    if position is None or position.shape != (len(recording), 3) or recording.truth is None:
        raise InputError("no field 'opt_pos' (N, 3)", where=str(path), right="a BROAD trial with optical positions")
    require_si(recording)
    quat = level_frame(recording)
    inputs = level_inputs(recording, quat)
    ends = periods(recording.stamps_ns, RATE_HZ)
    targets, scored = _displacements(recording, np.asarray(position, dtype=np.float64), quat, ends)
    if frame == "body":
        back = rotations.conjugate(quat[_latest(recording, ends)])
        inputs = turned_back(back, inputs)
        targets = rotations.rotate(back, targets)
    return Trial(path.stem, broad_group(path.stem), inputs, targets, scored)


def level_frame(recording: ImuRecording) -> Array:
    """VQF's orientation without a magnetometer at every sample, (N, 4) w x y z."""
    found = VQF(1.0 / recording.rate_hz).updateBatch(recording.gyr, recording.acc)
    return np.asarray(found["quat6D"])


def level_inputs(recording: ImuRecording, quat: Array) -> Array:
    """Acceleration without gravity, angular rate and leaky integrals in the level frame at the task's rate, (L, 15)."""
    acc = rotations.rotate(quat, recording.acc) - GRAVITY
    gyr = rotations.rotate(quat, recording.gyr)
    rows = box_mean(recording.stamps_ns, np.concatenate([acc, gyr], axis=1), RATE_HZ)
    return np.concatenate([rows, *(leaky_velocity(rows[:, :3], RATE_HZ, tau) for tau in TAUS_S)], axis=1)


def turned_back(back: Array, rows: Array) -> Array:
    """Rows (..., 3 k) of vectors, each turned by ``back`` (..., 4)."""
    vectors = rows.reshape(*rows.shape[:-1], -1, 3)
    return np.asarray(rotations.rotate(back[..., None, :], vectors).reshape(rows.shape))


def _latest(recording: ImuRecording, ends: NDArray[np.int64]) -> NDArray[np.intp]:
    """The last sample at or before each of ``ends``."""
    return np.searchsorted(recording.stamps_ns, ends + 1, side="right") - 1


def _displacements(
    recording: ImuRecording, position: Array, quat: Array, ends: NDArray[np.int64]
) -> tuple[Array, NDArray[np.bool_]]:
    """Mean velocity over the chunk that ends with each row, in the level frame, and which rows are to be scored.

    Between optical frames positions are interpolated: truth may look ahead. Optical velocity is turned into the body
    by optical orientation, and out of it by VQF's, so that the target is in the frame that the inputs are in.
    """
    assert recording.truth is not None
    at = np.stack([np.interp(ends, recording.stamps_ns, column) for column in position.T], axis=1)
    velocity = np.full_like(at, np.nan)
    velocity[CHUNK:] = (at[CHUNK:] - at[:-CHUNK]) * (RATE_HZ / CHUNK)
    latest = _latest(recording, ends)
    body = rotations.rotate(rotations.conjugate(recording.truth[latest]), velocity)
    targets = rotations.rotate(quat[latest], body)
    targets[~np.isfinite(targets).all(axis=1)] = np.nan
    moved = np.ones(len(ends), dtype=np.bool_) if recording.movement is None else recording.movement[latest]
    return targets, moved & np.isfinite(targets).all(axis=1)
