"""A trained model on a live stream: a sample in, an estimate at the end of each chunk out, with what offline gives.

The low-level state begins anew with every chunk, the high-level one goes on from chunk to chunk. Staggered, ten of
both run side by side, each a sample behind the one before: an estimate every sample, each that of the unstaggered model
on the stream from another sample on. What runs is a program of `knuckle.nn.engine`: no torch, and no Python between the
layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.nn.engine import Program, StreamingEngine, load_program
from knuckle.sensors import estimator_state
from knuckle.sensors.hiss.features import FeatureStream
from knuckle.sensors.hiss.gaussian_factors import factors
from knuckle.sensors.hiss.model_card import PROGRAM, STAGGERED, SensorCard, read_card, require_exported
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle.sensors.hiss.trial import CHUNK

__all__ = ["SensorStream", "StateEstimate", "open_stream"]

Array = NDArray[np.float64]
_KIND = "sensor model"


class SensorStream:
    """The model of ``card`` as ``program``. Samples come at the card's rate: gaps and jitter are not its business.

    Estimates of a model that was trained with ``look_ahead`` samples more have stamps that much earlier. InputError
    for a model whose filter looks ahead.
    """

    def __init__(self, card: SensorCard, program: Program, *, staggered: bool = False) -> None:
        self.card, self.staggered = card, staggered
        self._engine = StreamingEngine(program)
        d = len(card.channels.inputs)
        self._features = FeatureStream(card.training.features, card.channels.rate_hz, card.inputs, d)
        self._late_ns = round(card.training.look_ahead * 1e9 / card.channels.rate_hz)
        self._samples = 0

    def push(self, stamp_ns: int, values: Array) -> StateEstimate | None:
        """Take the inputs (D,) of ``stamp_ns``; an estimate where a chunk ends with them, or always once staggered."""
        if values.shape != (len(self.card.channels.inputs),):
            right = f"{len(self.card.channels.inputs)}: " + ", ".join(e.name for e in self.card.channels.inputs)
            raise InputError(f"a sample of shape {values.shape}", where=self.card.card.name, right=right)
        read = self._features.push(values)
        raw = self._engine.step(read)
        place, self._samples = self._samples, self._samples + 1
        if raw is None or place < CHUNK - 1 or not (self.staggered or place % CHUNK == CHUNK - 1):
            return None
        out, choice = raw.astype(np.float64), self.card.choice
        z, lower = factors(out if choice is None else choice.settle(out, read.astype(np.float64)))
        scaled = self.card.spread.factor(z) * self.card.targets.scale[:, None] * lower
        return StateEstimate(stamp_ns - self._late_ns, self.card.targets.back(z), scaled @ scaled.T)

    def state(self) -> bytes:
        """All that the next `push` depends on, and which model it is of."""
        return estimator_state.encode(_KIND, self._values())

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; InputError where it is of another model."""
        values = estimator_state.decode(_KIND, state, self._values(), model=self.card.card.name)
        self._engine.restore(np.array(values["network"], dtype=np.float32))
        self._features.restore(values["features"])
        self._samples = values["samples"]

    def _values(self) -> dict[str, Any]:
        return {
            "model": self.card.card.sha256,
            "samples": self._samples,
            "features": self._features.state(),
            "network": self._engine.state().tolist(),
        }


def open_stream(folder: Path, *, staggered: bool = False) -> SensorStream:
    """The exported model in ``folder``, without torch; InputError in one line where it cannot be used."""
    card = read_card(folder)
    name = STAGGERED if staggered and not card.flat else PROGRAM
    return SensorStream(card, load_program(require_exported(folder, card, name)), staggered=staggered)
