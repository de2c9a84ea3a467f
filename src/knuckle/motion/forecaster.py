"""Forecasts in closed form, without learning and without torch: four linear Gaussian motions weighed by the history.

A thing goes straight on, turns left or right, or stops; each is a Kalman filter over position and velocity,

    p' = p + v dt,    v' = M v + w,    M = 1, a turn of omega dt in the plane of x and y, or e^(-dt / tau),

with white acceleration, and each mode's probability follows from how well it foretold the history (multiple models,
Magill 1965), evidence fading with its age. The covariance is carried in full, start included: a track seen once has a
wide forecast, one seen long a narrow one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.core.config import validate
from knuckle.core.errors import InputError
from knuckle.motion.forecast_mixture import ForecastMixture
from knuckle.motion.forecaster_config import WORKSPACE, ForecasterConfig
from knuckle.motion.track_history import read_history

Array = NDArray[np.float64]
MODES = ("straight", "left", "right", "stop")


class Forecaster:
    """Where things will be, from where they were: any number of tracks at once, in the plane or in space.

    Raises ConfigError for a configuration out of range, InputError where shares leave nothing for turning.
    """

    def __init__(self, config: ForecasterConfig = WORKSPACE) -> None:
        self.config = validate(config, where="forecaster")
        turning = 1.0 - config.straight_share - config.stop_share
        if turning <= 0.0 or config.step_s > config.horizon_s:
            what = f"shares that leave {turning:.3g} for turning, a step of {config.step_s} s"
            raise InputError(what, where="forecaster", right="more than 0 left, a step within the horizon")
        self.shares = np.array([config.straight_share, turning / 2, turning / 2, config.stop_share])
        steps = round(config.horizon_s / config.step_s)
        self.times_s: Array = config.step_s * np.arange(1.0, steps + 1.0)

    def forecast(self, history: ArrayLike, dt_s: ArrayLike) -> ForecastMixture:
        """Modes of the positions to come of N tracks, ``times_s`` after the newest row, in ``history``'s own frame.

        ``history`` (N, T, D) in m, the newest row last. D is 2 for points in a plane, 3 for points in space (they turn
        about z), 4 or 6 for boxes: the centre and then the extent, of which the centre is forecast. A row of NaN was
        not seen. ``dt_s`` is the time between two rows, one number or (T - 1,). A track of one point is taken for one
        of unknown velocity. Raises InputError in one line for another shape, a row that is NaN in part, infinite
        values, times that do not grow, or a track that was never seen.
        """
        points, steps = read_history(history, dt_s)
        mean, covariance, evidence = self._filter(points, steps)
        weight = np.log(self.shares) + evidence
        weight = np.exp(weight - weight.max(axis=1, keepdims=True))
        means, covariances, D = [], [], points.shape[-1]
        F, Q = self._motion(self.config.step_s, D)
        for _ in self.times_s:
            mean, covariance = _carry(F, Q, mean, covariance)
            means.append(mean[..., :D])
            covariances.append(covariance[..., :D, :D])
        probability = np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)
        return ForecastMixture(self.times_s, probability, np.stack(means, 2), np.stack(covariances, 2))

    def _motion(self, dt: float, D: int) -> tuple[Array, Array]:
        """Transitions (4, 2D, 2D) of the modes over ``dt``, and the noise (2D, 2D) that white acceleration adds."""
        c, one = self.config, np.eye(D)
        M = np.stack([one, one, one, one * math.exp(-dt / c.stopping_s)])
        for k, sign in ((1, 1.0), (2, -1.0)):
            cos, sin = math.cos(c.turn_radps * dt), math.sin(sign * c.turn_radps * dt)
            M[k, :2, :2] = [[cos, -sin], [sin, cos]]
        F = np.zeros((len(M), 2 * D, 2 * D))
        F[:, :D, :D], F[:, D:, D:] = one, M
        # Of a motion that turns or slows, the mean velocity of the step carries the position.
        F[:, :D, D:] = dt * (one + M) / 2
        noise = c.wander_mps**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        return F, np.asarray(np.kron(noise, one), dtype=np.float64)

    def _filter(self, points: Array, steps: Array) -> tuple[Array, Array, Array]:
        """State means (N, 4, 2D), covariances (N, 4, 2D, 2D) and log evidence (N, 4) of the modes at the newest row."""
        N, T, D = points.shape
        c, seen = self.config, np.isfinite(points[..., 0])
        mean, covariance = np.zeros((N, len(MODES), 2 * D)), np.zeros((N, len(MODES), 2 * D, 2 * D))
        evidence, begun = np.zeros((N, len(MODES))), np.zeros(N, dtype=bool)
        start = np.kron(np.diag([c.noise_m**2, c.speed_mps**2]), np.eye(D))
        R = c.noise_m**2 * np.eye(D)
        for t in range(T):
            if t and begun.any():
                F, Q = self._motion(float(steps[t - 1]), D)
                mean, covariance = _carry(F, Q, mean, covariance)
                covariance[~begun] = 0.0
                evidence *= math.exp(-float(steps[t - 1]) / c.memory_s)
            told = seen[:, t] & begun
            if told.any():
                mean[told], covariance[told], gain = _update(points[told, t], mean[told], covariance[told], R)
                evidence[told] += gain
            first = seen[:, t] & ~begun
            mean[first, :, :D] = points[first, t][:, None]
            covariance[first] = start
            begun |= first
        return mean, covariance, evidence


def _carry(F: Array, Q: Array, mean: Array, covariance: Array) -> tuple[Array, Array]:
    return (F @ mean[..., None])[..., 0], F @ covariance @ F.swapaxes(-1, -2) + Q


def _update(point: Array, mean: Array, P: Array, R: Array) -> tuple[Array, Array, Array]:
    """A Kalman filter's update with ``point`` (n, D) in each mode, and the log density that each had foretold it by."""
    D = point.shape[-1]
    S = P[..., :D, :D] + R
    gain = np.linalg.solve(S, P[..., :D, :]).swapaxes(-1, -2)
    surprise = point[:, None] - mean[..., :D]
    weighed = np.linalg.solve(S, surprise[..., None])[..., 0]
    density = -0.5 * ((surprise * weighed).sum(-1) + np.linalg.slogdet(S)[1])
    return mean + (gain @ surprise[..., None])[..., 0], P - gain @ S @ gain.swapaxes(-1, -2), density
