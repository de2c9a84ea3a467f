"""The weights of a policy that draws actions from a diagonal Gaussian, in plain arrays: what is read from others,
copied to them and exported."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

Floats = NDArray[np.float32]
Layer = tuple[Floats, Floats]
"""Weight (out, in) and bias (out,) of a linear layer."""
ACTIVATIONS = ("relu", "tanh", "elu")


@dataclass(frozen=True)
class ActorWeights:
    """A mean of linear ``layers`` with ``activation`` between, the first layer reading the observation less
    ``observation_mean``, over ``observation_std`` (O,), cut to ``observation_clip`` on either side.

    ``log_std`` is one number per action (A,), a linear layer over the last hidden one, or None for an actor without
    noise; it is cut to ``log_std_range``. With ``squash`` the draw goes through tanh and from -1..1 to ``low``..
    ``high`` (A,); without, it is cut to them. ``mean_clip`` cuts the mean before (infinity: not). InputError where
    shapes differ or a number is not finite.
    """

    layers: tuple[Layer, ...]
    activation: str
    squash: bool
    low: Floats
    high: Floats
    log_std: Floats | Layer | None = None
    log_std_range: tuple[float, float] = (-20.0, 2.0)
    mean_clip: float = float("inf")
    observation_mean: Floats | None = None
    observation_std: Floats | None = None
    observation_clip: float = float("inf")

    def __post_init__(self) -> None:
        where = "actor"
        if self.activation not in ACTIVATIONS:
            right = f"one of: {', '.join(ACTIVATIONS)}"
            raise InputError(f"activation '{self.activation}' is unknown", where=where, right=right)
        if not self.layers:
            raise InputError("it has no layer", where=where, right="one or more")
        for k, (weight, bias) in enumerate(self.layers):
            if weight.ndim != 2 or bias.shape != weight.shape[:1]:
                what = f"layer {k} has a weight {weight.shape} and a bias {bias.shape}"
                raise InputError(what, where=where, right="(out, in) and (out,)")
        for k, ((before, _), (after, _)) in enumerate(itertools.pairwise(self.layers)):
            if before.shape[0] != after.shape[1]:
                what = f"layer {k + 1} reads {after.shape[1]} numbers and layer {k} gives {before.shape[0]}"
                raise InputError(what, where=where, right="the same")
        self._check_sides()

    def _check_sides(self) -> None:
        """That bounds, noise and normaliser fit the layers."""
        wanted = {"low": self.actions, "high": self.actions}
        arrays = {"low": self.low, "high": self.high}
        if isinstance(self.log_std, tuple):
            if self.log_std[0].shape != self.layers[-1][0].shape or self.log_std[1].shape != self.layers[-1][1].shape:
                raise InputError("the layer of log_std has another shape", where="actor", right="that of the mean")
        elif self.log_std is not None:
            wanted["log_std"], arrays["log_std"] = self.actions, self.log_std
        if (self.observation_mean is None) != (self.observation_std is None):
            raise InputError("half a normaliser", where="actor", right="mean and standard deviation")
        if self.observation_mean is not None and self.observation_std is not None:
            wanted |= {"observation_mean": self.observations, "observation_std": self.observations}
            arrays |= {"observation_mean": self.observation_mean, "observation_std": self.observation_std}
        for name, array in arrays.items():
            if array.shape != (wanted[name],) or not np.isfinite(array).all():
                right = f"{wanted[name]} finite numbers"
                raise InputError(f"{name} of shape {array.shape} is not that", where="actor", right=right)
        if not (self.low < self.high).all():
            raise InputError("an action's low is not below its high", where="actor", right="bounds of a space")

    @property
    def observations(self) -> int:
        """O, the width of an observation."""
        return int(self.layers[0][0].shape[1])

    @property
    def actions(self) -> int:
        """A, the width of an action."""
        return int(self.layers[-1][0].shape[0])
