"""A model on rows of numbers, live: a skin's fields, or the columns of a user's own table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.sensors import estimator_state
from knuckle.sensors.estimator import Array
from knuckle.sensors.hiss.box_mean import BoxMean
from knuckle.sensors.hiss.known_range import kept
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle.sensors.hiss.streaming import SensorStream
from knuckle.sensors.sample_grid import TOLERANCE
from knuckle.sensors.sample_rules import RowRules
from knuckle.sensors.stream_guard import GuardConfig, StreamGuard

_KIND = "row stream"
BEYOND = 100.0
"""How many deviations of the training inputs a value may be from their mean before it counts as saturated."""


class RowEstimator:
    """The mean of each of the model's periods, as in training, and the model."""

    def __init__(self, model: SensorStream) -> None:
        self._model = model
        channels = model.card.channels
        self._mean = BoxMean(channels.rate_hz, len(channels.inputs))

    def push(self, stamp_ns: int, row: Array, /) -> StateEstimate | None:
        """Take a row (D,); the newest estimate that it completes."""
        newest = None
        for end_ns, mean in self._mean.push(stamp_ns, row):
            made = self._model.push(end_ns, mean)
            newest = newest if made is None else kept(made, self._model.card)
        return newest

    def state(self) -> bytes:
        """All that the next `push` depends on."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; InputError where it is of another model."""
        values = estimator_state.decode(_KIND, state, self._values())
        self._model.restore(values["model"].encode())
        self._mean.restore(values["mean"])

    def _values(self) -> dict[str, Any]:
        return {"model": self._model.state().decode(), "mean": self._mean.state()}


class RowStream:
    """Rows as they come in, at about ``rate_hz``; estimates out. The guard is around the model.

    InputError for rows that come more slowly than the model's samples.
    """

    def __init__(self, model: SensorStream, rate_hz: float) -> None:
        card = model.card
        wanted = card.channels.rate_hz
        if rate_hz < (1.0 - TOLERANCE) * wanted:
            right = f"{wanted:g} Hz or more, at which the model was trained"
            raise InputError(f"rows at {rate_hz:.4g} Hz", where=card.card.name, right=right)
        same = abs(rate_hz / wanted - 1.0) <= TOLERANCE
        d, rest = len(card.channels.inputs), card.training.features.rest > 0
        reach = np.full(d, np.inf) if rest else BEYOND * card.inputs.scale[:d]  # at rest a sensor reads anything
        middle = np.zeros(d) if rest else card.inputs.mean[:d]
        config = GuardConfig(rate_hz=wanted if same else rate_hz)
        self._guard = StreamGuard(RowEstimator(model), config, RowRules(middle - reach, middle + reach))

    def row(self, stamp_ns: int, values: Array) -> list[StateEstimate]:
        """Take the inputs (D,) of ``stamp_ns``; the estimate that they complete."""
        estimate = self._guard.push(stamp_ns, values)
        return [] if estimate is None else [estimate]

    def counts(self) -> dict[str, int]:
        """The guard's counts."""
        return asdict(self._guard.counts)

    def rate_hz(self) -> float:
        """The rate at which rows come."""
        return self._guard.rate_hz()

    def state(self) -> bytes:
        """All that estimates after the newest one depend on."""
        return self._guard.state()

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; InputError where it is of another model."""
        self._guard.restore(state)
