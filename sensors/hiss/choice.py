"""An estimate that lies among others: the network says how far each of a few candidates is to be believed.

Some inputs are estimates of the target already (the heading of other filters). Where a task names such candidates, the
network gives the logs of weights, one for each and first one for 0, in place of a mean, and the mean is the weighted
mean of the candidates at the end of the chunk. So a model of few data can be no worse than the worst of them, and
gives the same as a filter that is right where it believes that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.sensors.hiss.normaliser import Normaliser
from knuckle.sensors.hiss.trial import Channels

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """Features ``columns`` (K,) times ``scale`` plus ``offset`` (K + 1,) are the candidates as normalised targets.

    The first is 0 in the target's unit and has the scale 0.
    """

    columns: tuple[int, ...]
    scale: Array
    offset: Array

    @property
    def outputs(self) -> int:
        """Numbers that the network gives: the logs of K + 1 weights, and the log of a deviation."""
        return len(self.offset) + 1

    def settle(self, raw: Array, features: Array) -> Array:
        """Mean and log deviation (..., 2) from the network's ``raw`` (..., K + 2) and a chunk's last ``features``."""
        logs = raw[..., :-1] - raw[..., :-1].max(axis=-1, keepdims=True)
        weights = np.exp(logs) / np.exp(logs).sum(axis=-1, keepdims=True)
        first = np.zeros((*features.shape[:-1], 1))
        read = np.concatenate([first, features[..., list(self.columns)]], axis=-1)
        mean = (weights * (read * self.scale + self.offset)).sum(axis=-1)
        return np.stack([mean, raw[..., -1]], axis=-1)


def choice_of(
    candidates: Sequence[str], channels: Channels, inputs: Normaliser, targets: Normaliser, *, where: str
) -> Choice | None:
    """The choice among the inputs named ``candidates``, None for no names.

    InputError for a name that is no input, or where there is more than one target.
    """
    if not candidates:
        return None
    names = [entry.name for entry in channels.inputs]
    missing = [name for name in candidates if name not in names]
    if missing or len(channels.targets) != 1:
        what = f"no input '{missing[0]}' to choose" if missing else f"{len(channels.targets)} targets to choose"
        raise InputError(what, where=where, right="candidates among the inputs, and one target")
    columns = tuple(names.index(name) for name in candidates)
    at = list(columns)
    scale, offset = inputs.scale[at] / targets.scale[0], (inputs.mean[at] - targets.mean[0]) / targets.scale[0]
    zero = -targets.mean[0] / targets.scale[0]
    return Choice(columns, np.concatenate([[0.0], scale]), np.concatenate([[zero], offset]))
