"""VQF corrected by a learned model, as a streaming estimator: VQF alone where the model leaves its range."""

from __future__ import annotations

import math

import numpy as np
from vqf import VQF

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Array, Estimate, ImuSample
from knuckle.sensors.hard_iron import HardIron, HardIronConfig
from knuckle.sensors.hiss.box_mean import BoxMean
from knuckle.sensors.hiss.known_range import trouble
from knuckle.sensors.hiss.orientation_task import RATE_HZ, SLOW_S, channels
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle.sensors.hiss.streaming import SensorStream
from knuckle.sensors.vqf_estimator import VqfConfig, VqfEstimator

_KIND = "vqf corrected"
_UT = 1e6


class CorrectedVqf:
    """An `Estimator`: nine axes at ``rate_hz``; samples without ``mag`` go to VQF alone and keep the last correction.

    The correction of a chunk holds until the next one is over. InputError for a model of another task.
    """

    def __init__(self, model: SensorStream, rate_hz: float) -> None:
        if model.card.channels != channels():
            task = model.card.training.task.get("name")
            right = "a model of the task orientation"
            raise InputError(f"a model of the task {task}", where=model.card.card.name, right=right)
        self._model, self._rate_hz = model, rate_hz
        config = HardIronConfig()
        self._every = max(1, round(config.period_s * rate_hz))
        self._iron, self._since = HardIron(config), 0
        self._vqf, dt = VqfEstimator(VqfConfig(rate_hz=rate_hz)), 1.0 / rate_hz
        self._others = {"rival": VQF(dt), "slow_rival": VQF(dt, tauMag=SLOW_S)}
        self._mean = BoxMean(RATE_HZ, len(channels().inputs))
        self._delta, self._begun = 0.0, False
        self._turn, self._variance, self._lost = 0.0, math.nan, False

    def push(self, stamp_ns: int, sample: ImuSample) -> Estimate:
        """VQF's estimate, turned about the vertical by the newest correction."""
        estimate = self._vqf.push(stamp_ns, sample)
        if sample.mag is not None:
            for end_ns, row in self._mean.push(stamp_ns, self._row(estimate.orientation, sample, sample.mag)):
                found = self._model.push(end_ns, row)
                if found is not None:
                    self._correct(found)
        turn = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), self._turn)
        covariance = estimate.covariance
        if covariance is not None and math.isfinite(self._variance):
            covariance = covariance.copy()
            covariance[2, 2] = self._variance
        reason = "the model's estimate is out of its range: VQF alone" if self._lost else ""
        return Estimate(stamp_ns, rotations.multiply(turn, estimate.orientation), covariance, reason=reason)

    def state(self) -> bytes:
        """All that the next `push` depends on."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; InputError where it is of another model."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._model.restore(values["model"].encode())
        self._vqf.restore(values["vqf"].encode())
        for name, other in self._others.items():
            other.state = values[name]
        self._iron.set_values(values["iron"])
        self._mean.restore(values["mean"])
        self._since, self._begun, self._lost = values["since"], values["begun"], values["lost"]
        self._delta, self._turn, self._variance = (float(values[n]) for n in ("delta", "turn", "variance"))

    def _correct(self, found: StateEstimate) -> None:
        """Take the newest correction, or none where the model has left its range."""
        self._lost = bool(trouble(found, self._model.card))
        self._variance = math.nan if self._lost else float(found.covariance[0, 0])
        self._turn = 0.0 if self._lost else float(found.mean[0])

    def _row(self, q: Array, sample: ImuSample, mag: Array) -> Array:
        """The model's inputs at a sample, as `orientation_task.filtered` has them."""
        bias = self._iron.bias
        clean = mag - bias
        for other in self._others.values():
            other.update(sample.gyr, sample.acc, clean)
        delta = _heading_between(self._vqf.without_field(), q)
        step = (delta - self._delta + math.pi) % (2.0 * math.pi) - math.pi if self._begun else 0.0
        self._delta, self._begun = delta, True
        scalars = [
            *(_heading_between(q, other.getQuat9D()) for other in self._others.values()),
            step * self._rate_hz,
            float(self._vqf.field_disturbed()),
            float(np.linalg.norm(bias)) * _UT,
        ]
        vectors = rotations.to_matrix(q) @ np.stack([mag * _UT, clean * _UT, sample.gyr], axis=1)
        self._since += 1
        if self._since == self._every:
            self._since = 0
            self._iron.observe(self._vqf.without_field(), mag, float(np.linalg.norm(sample.gyr)))
        return np.concatenate([vectors.T.ravel(), np.array(scalars)])

    def _values(self) -> dict[str, object]:
        return {
            "model": self._model.state().decode(),
            "vqf": self._vqf.state().decode(),
            **{name: dict(other.state) for name, other in self._others.items()},
            "iron": self._iron.values(),
            "mean": self._mean.state(),
            "since": self._since,
            "begun": self._begun,
            "lost": self._lost,
            "delta": self._delta,
            "turn": self._turn,
            "variance": self._variance,
        }


def _heading_between(a: Array, b: Array) -> float:
    """`orientation_task.heading_between` of two orientations (4,): numpy's way takes as long as all the rest here."""
    aw, ax, ay, az = a.tolist()
    bw, bx, by, bz = b.tolist()
    w, z = bw * aw + bx * ax + by * ay + bz * az, by * ax - bx * ay + bz * aw - bw * az
    return math.remainder(2.0 * math.atan2(z, w), 2.0 * math.pi)
