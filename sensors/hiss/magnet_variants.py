"""A recording as it might have been: other iron, a magnet near or attached, a gyroscope with another bias.

What is drawn is physical: what turns with the sensor is added in its frame, a magnet in the room is a dipole at a place
that the optical positions came near, and what is attached may come or go in the midst of the recording.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.sensors.recording import ImuRecording

Array = NDArray[np.float64]
_MU0_4PI = 1e-7


def varied(recording: ImuRecording, position: Array, rng: np.random.Generator) -> ImuRecording:
    """``recording`` with ``position`` (N, 3) m of the sensor, NaN where it was not seen, as drawn from ``rng``."""
    assert recording.mag is not None
    assert recording.truth is not None
    n = len(recording)
    mag = recording.mag @ (np.eye(3) + rng.normal(0.0, 0.02, (3, 3)))
    kind = rng.integers(0, 4)
    if kind in (1, 3):  # something that turns along: weak, or as strong as a magnet at 1 cm
        strength = np.exp(rng.uniform(np.log(2e-6), np.log(8e-5)))
        offset = strength * _direction(rng)
        begin, end = sorted(rng.integers(0, n, 2)) if rng.random() < 0.5 else (0, n)
        mag[begin:end] += offset
    if kind in (2, 3):
        mag = mag + _room_magnet(recording, position, rng)
    gyr = recording.gyr + np.radians(rng.normal(0.0, 0.3, 3))
    return replace(recording, mag=np.ascontiguousarray(mag), gyr=np.ascontiguousarray(gyr))


def _room_magnet(recording: ImuRecording, position: Array, rng: np.random.Generator) -> Array:
    """The field of a dipole in the room, in the sensor's frame, (N, 3) T; none where the sensor was not seen."""
    assert recording.truth is not None
    seen = np.isfinite(position).all(axis=1) & np.isfinite(recording.truth).all(axis=1)
    field = np.zeros_like(position)
    if not seen.any():
        return field
    near = position[rng.choice(np.flatnonzero(seen))] + rng.uniform(0.08, 0.4) * _direction(rng)
    moment = np.exp(rng.uniform(np.log(0.02), np.log(1.0))) * _direction(rng)
    r = position[seen] - near
    distance = np.maximum(np.linalg.norm(r, axis=1, keepdims=True), 0.05)
    unit = r / distance
    world = _MU0_4PI * (3.0 * unit * (unit @ moment)[:, None] - moment) / distance**3
    field[seen] = rotations.rotate(rotations.conjugate(recording.truth[seen]), world)
    return field


def _direction(rng: np.random.Generator) -> Array:
    v = rng.standard_normal(3)
    return np.asarray(v / np.linalg.norm(v))
