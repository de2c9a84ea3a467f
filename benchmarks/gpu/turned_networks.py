"""Actor and critic in plain JAX: `SymmetricPolicy` with its turns, or one network over the whole hand without them.

Parameters are a flat dictionary of arrays, weights (out, in) as in torch, so that the actor's file is what
`to_policy.py` hands to the exporter.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jp
import numpy as np

from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.sim.reorient.hand_symmetry import UPRIGHTED, HandSymmetry
from knuckle.sim.reorient.observation import ReorientObservation


class TurnedNetworks:
    """Networks for ``hand``; ``layers`` hidden ones of ``width`` units with ELU, in actor and critic."""

    def __init__(self, hand: HandSpec, width: int, layers: int, symmetric: bool) -> None:
        self.dof, self.layers, self.columns = hand.dof, layers, ReorientObservation(hand).width
        self.order, self.places = 1, np.arange(hand.dof)
        self.maps = jp.eye(self.columns)[None]
        self.parts: list[slice] = []
        if symmetric:
            symmetry = HandSymmetry(hand)
            self.order, self.maps = symmetry.order, jp.asarray(symmetry.maps, jp.float32)
            self.parts = [symmetry.build.slices[name] for name in UPRIGHTED]
            turn_of = np.argsort(symmetry.finger_of())
            self.places = (turn_of[:, None] * symmetry.joints + np.arange(symmetry.joints)).reshape(-1)
        self.hidden = [width] * layers

    def begin(self, key: Any, log_std: float) -> dict[str, Any]:
        """Parameters at first, as Stable-Baselines3 draws them: orthogonal, the last actor's layer small."""
        out = {"log_std": jp.full(self.dof, log_std)}
        for name, last, gain in (("actor", self.dof // self.order, 0.01), ("critic", 1, 1.0)):
            sizes = [self.columns, *self.hidden, last]
            for k in range(len(sizes) - 1):
                key, own = jax.random.split(key)
                scale = gain if k == len(sizes) - 2 else math.sqrt(2.0)
                draw = jax.nn.initializers.orthogonal(scale)
                out[f"{name}.{k}.weight"] = draw(own, (sizes[k + 1], sizes[k]))
                out[f"{name}.{k}.bias"] = jp.zeros(sizes[k + 1])
        return out

    def turned(self, observation: Any) -> Any:
        """Every turn (n, order, width) of observations (n, width): `HandSymmetry.copies`."""
        rows = jp.einsum("nw,kvw->nkv", observation, self.maps)
        for part in self.parts:
            sign = jp.where(rows[..., part.start : part.start + 1] < 0.0, -1.0, 1.0)
            rows = rows.at[..., part].multiply(sign)
        return rows

    def mean_action(self, params: dict[str, Any], normalised: Any) -> Any:
        """Mean actions (n, dof) for normalised turns (n, order, width)."""
        at = self._units(params, "actor", normalised)
        of_first = at @ params[f"actor.{self.layers}.weight"].T + params[f"actor.{self.layers}.bias"]
        return of_first.reshape(len(of_first), -1)[:, self.places]

    def value(self, params: dict[str, Any], normalised: Any) -> Any:
        """Values (n,): read from the mean over the turns."""
        units = self._units(params, "critic", normalised).mean(axis=1)
        return (units @ params[f"critic.{self.layers}.weight"].T + params[f"critic.{self.layers}.bias"])[:, 0]

    def _units(self, params: dict[str, Any], name: str, at: Any) -> Any:
        for k in range(self.layers):
            at = jax.nn.elu(at @ params[f"{name}.{k}.weight"].T + params[f"{name}.{k}.bias"])
        return at


def scaled(turns: Any, mean: Any, std: Any, clip: float) -> Any:
    """Turns (n, order, width), normalised and cut."""
    return jp.clip((turns - mean) / std, -clip, clip)
