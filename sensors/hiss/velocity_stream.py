"""Velocity from an IMU's own samples, live: VQF's level frame, the mean of each period, the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from vqf import VQF

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Array, ImuSample
from knuckle.sensors.hiss.box_mean import BoxMean
from knuckle.sensors.hiss.known_range import kept
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle.sensors.hiss.streaming import SensorStream
from knuckle.sensors.hiss.velocity_task import GRAVITY, RATE_HZ, TAUS_S, channels, turned_back
from knuckle.sensors.leaky_velocity import DEVIATION, LeakyVelocity

_KIND = "velocity stream"


class VelocityStream:
    """A model of the velocity task on samples at ``rate_hz``, with what `velocity_task.load_trial` gives offline.

    Estimates are in the sensor's frame at their stamp, whichever frame the model works in, with those of a leaky
    integral beside them, which stands in where the model fails. InputError for a model of another task.
    """

    def __init__(self, model: SensorStream, rate_hz: float) -> None:
        task = model.card.training.task
        if task.get("name") != "velocity":
            right = "a model of the task velocity"
            raise InputError(f"a model of the task {task.get('name')}", where=model.card.card.name, right=right)
        self._model, self._level = model, task["frame"] == "level"
        self._filter = VQF(1.0 / rate_hz)
        if model.card.channels != channels(task["frame"]):
            raise InputError("a model of other inputs", where=model.card.card.name, right="one trained by this version")
        self._mean, self._leaky = BoxMean(RATE_HZ, 6), LeakyVelocity(RATE_HZ)
        self._integrals = [LeakyVelocity(RATE_HZ, tau) for tau in TAUS_S]

    def push(self, stamp_ns: int, sample: ImuSample) -> StateEstimate | None:
        """Take a sample; the estimate that it completes."""
        self._filter.update(sample.gyr, sample.acc)
        quat = np.asarray(self._filter.getQuat6D())
        row = np.concatenate([rotations.rotate(quat, sample.acc) - GRAVITY, rotations.rotate(quat, sample.gyr)])
        back = rotations.conjugate(quat)
        found, turn = None, rotations.to_matrix(back)
        for end_ns, mean in self._mean.push(stamp_ns, row):
            slow = self._leaky.push(mean[:3])
            values = np.concatenate([mean, *(integral.push(mean[:3]) for integral in self._integrals)])
            values = values if self._level else turned_back(back, values)
            made = self._model.push(end_ns, values)
            if made is not None:
                found = kept(self._beside(made, slow, turn), self._model.card)
        return found

    def _beside(self, found: StateEstimate, slow: Array, turn: Array) -> StateEstimate:
        """The model's estimate in the sensor's frame, the classical one beside it."""
        classical = turn @ slow, turn @ np.diag(np.square(DEVIATION)) @ turn.T
        if not self._level:
            return replace(found, classical=classical)
        return replace(found, mean=turn @ found.mean, covariance=turn @ found.covariance @ turn.T, classical=classical)

    def state(self) -> bytes:
        """All that the next `push` depends on."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; InputError where it is of another model."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._model.restore(values["model"].encode())
        self._filter.state = values["filter"]
        self._mean.restore(values["mean"])
        self._leaky.restore(values["leaky"])
        for integral, own in zip(self._integrals, values["integrals"], strict=True):
            integral.restore(own)

    def _values(self) -> dict[str, Any]:
        return {
            "model": self._model.state().decode(),
            "filter": dict(self._filter.state),
            "mean": self._mean.state(),
            "leaky": self._leaky.state(),
            "integrals": [integral.state() for integral in self._integrals],
        }
