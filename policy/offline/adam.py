"""Adam over one vector of weights, by torch's fused kernel; what it remembers can be taken out and put back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.policy.offline.network import Weights


class Adam:
    """Moves ``weights`` against ``gradient``, which the learner fills before each `step`."""

    def __init__(self, weights: Weights, rate: float, *, weight_decay: float = 0.0) -> None:
        self.weights, self.gradient = weights, weights.like()
        self._vector = torch.nn.Parameter(weights.flat)
        self._vector.grad = self.gradient.flat
        self._adam = torch.optim.Adam([self._vector], lr=rate, weight_decay=weight_decay, fused=True)

    def step(self, *, rate: float | None = None) -> None:
        """One step of Adam (betas 0.9 and 0.999, eps 1e-8), at another ``rate`` from here on if one is given."""
        if rate is not None:
            self._adam.param_groups[0]["lr"] = rate
        self._adam.step()

    def capture(self, name: str) -> dict[str, NDArray[np.generic]]:
        """Weights and both moments by the names of the weights, behind ``name``."""
        arrays = {f"{name}.{key}": view.numpy().copy() for key, view in self.weights.views.items()}
        for key, value in self._adam.state.get(self._vector, {}).items():
            arrays[f"{name}:{key}"] = value.numpy().copy()
        return arrays

    def restore(self, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Put back what `capture` gave. KeyError or RuntimeError where it does not fit."""
        put_weights(self.weights, name, arrays)
        parts = {key: f"{name}:{key}" for key in ("step", "exp_avg", "exp_avg_sq")}
        if parts["step"] in arrays:
            state = {key: torch.from_numpy(arrays[place].copy()) for key, place in parts.items()}
            self._adam.state[self._vector] = state


def put_weights(weights: Weights, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Fill ``weights`` with the ``arrays`` that are named as its views, behind ``name``."""
    for key, view in weights.views.items():
        view.copy_(torch.from_numpy(np.asarray(arrays[f"{name}.{key}"])).to(weights.dtype).view(view.shape))


def weight_arrays(weights: Weights, name: str) -> dict[str, NDArray[np.generic]]:
    """The views of ``weights`` as arrays, behind ``name``: what `put_weights` reads."""
    return {f"{name}.{key}": view.numpy().copy() for key, view in weights.views.items()}
