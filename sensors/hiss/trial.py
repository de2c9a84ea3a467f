"""One sequence to learn from or to be judged on: inputs at the sensor's rate, and targets where there are any."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.cards import Entry
from knuckle.core.errors import RecordingError

Array = NDArray[np.float64]
CHUNK = 10
"""Samples of a chunk: the ratio of input rate to output rate in all six data sets of the paper."""


@dataclass(frozen=True)
class Channels:
    """What goes in and what comes out, in order, and the rate of the samples in Hz."""

    inputs: tuple[Entry, ...]
    targets: tuple[Entry, ...]
    rate_hz: float


@dataclass(frozen=True)
class Trial:
    """A recording of L samples, checked when made: RecordingError in one line.

    ``inputs`` (L, D), finite; ``targets`` (L, T), row i what is to be known at the time of sample i, NaN in every
    column where nothing is; ``scored`` (L,) bool, the targets that an evaluation counts; ``group`` the kind of motion,
    which is left out whole; ``name`` the file it came from; ``weight`` of its squared errors in learning and early
    stopping, for trials whose errors are to count by another measure than their size.
    """

    name: str
    group: str
    inputs: Array
    targets: Array
    scored: NDArray[np.bool_]
    weight: float = 1.0

    def __post_init__(self) -> None:
        n = len(self.inputs)
        if n < CHUNK:
            right = f"at least the {CHUNK} samples of a chunk"
            raise RecordingError(f"the recording has {n} samples at the model's rate", where=self.name, right=right)
        if self.inputs.ndim != 2 or self.targets.ndim != 2 or len(self.targets) != n or self.scored.shape != (n,):
            shapes = f"{self.inputs.shape}, {self.targets.shape}, {self.scored.shape}"
            raise RecordingError(f"shapes {shapes} do not fit", where=self.name, right="(L, D), (L, T), (L,)")
        good = np.isfinite(self.inputs).all(axis=1)
        if not good.all():
            what = f"an input is not finite at sample {int(np.argmin(good))}"
            raise RecordingError(what, where=self.name, right="numbers in every sample")

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a target, (L,)."""
        return np.asarray(np.isfinite(self.targets).all(axis=1))


def require_varied(trial: Trial, channels: Channels, derived: Collection[str] = ()) -> None:
    """RecordingError where an input channel of ``trial`` never changes: a sensor that is dead or not connected.

    Those of ``derived``, which a filter made of the sensor's, may.
    """
    own = np.array([entry.name not in derived for entry in channels.inputs])
    still = (np.ptp(trial.inputs, axis=0) == 0.0) & own
    if still.any():
        k = int(np.argmax(still))
        what = f"channel '{channels.inputs[k].name}' is {trial.inputs[0, k]:g} in every sample"
        raise RecordingError(what, where=trial.name, right="a sensor that is connected, or other columns")


def require_something_to_learn(trials: Sequence[Trial], channels: Channels) -> None:
    """RecordingError where a target is the same in all of ``trials``, or is known nowhere."""
    for k, entry in enumerate(channels.targets):
        known = np.concatenate([trial.targets[trial.known, k] for trial in trials])
        if not len(known) or np.ptp(known) == 0.0:
            what = f"the target '{entry.name}' is {f'{known[0]:g} throughout' if len(known) else 'known nowhere'}"
            raise RecordingError(what, where=trials[0].name, right="a target that changes")
