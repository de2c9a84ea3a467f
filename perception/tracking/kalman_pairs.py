"""Kalman filters of independent channels, each a position and its velocity: all channels of all tracks at once.

SORT's and ByteTrack's filters have diagonal noise, and a velocity couples with its own position alone, so their 7 x 7
and 8 x 8 covariances are four 2 x 2 blocks exactly. A state is (N, 4, 5): position, velocity, and the variances of
position, of both together, and of velocity. Time is counted in frames, as the papers' noise is given per frame.
"""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.boxes import Array

P, V, PP, PV, VV = range(5)


def started(position: Array, variance: Array, velocity_variance: Array) -> Array:
    """The state (N, 4, 5) at ``position`` (N, 4), at rest, with the given variances (N, 4)."""
    zero = np.zeros_like(position)
    return np.stack([position, zero, variance, zero, velocity_variance], axis=-1)


def predicted(state: Array, frames: float | Array, q_position: Array, q_velocity: Array) -> Array:
    """The state ``frames`` later; the noise variances (N, 4) are of one frame."""
    t = np.asarray(frames)
    out = np.empty_like(state)
    out[..., P] = state[..., P] + t * state[..., V]
    out[..., V] = state[..., V]
    out[..., PP] = state[..., PP] + 2.0 * t * state[..., PV] + t * t * state[..., VV] + t * q_position
    out[..., PV] = state[..., PV] + t * state[..., VV]
    out[..., VV] = state[..., VV] + t * q_velocity
    return out


def corrected(state: Array, position: Array, r: Array) -> Array:
    """The state after ``position`` (N, 4) was measured with variance ``r`` (N, 4)."""
    s = state[..., PP] + r
    gain, speed_gain = state[..., PP] / s, state[..., PV] / s
    innovation = position - state[..., P]
    out = np.empty_like(state)
    out[..., P] = state[..., P] + gain * innovation
    out[..., V] = state[..., V] + speed_gain * innovation
    out[..., PP] = (1.0 - gain) * state[..., PP]
    out[..., PV] = (1.0 - gain) * state[..., PV]
    out[..., VV] = state[..., VV] - speed_gain * state[..., PV]
    return out
