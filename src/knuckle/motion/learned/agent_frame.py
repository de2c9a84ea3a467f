"""A history in the frame of the body that moves, as networks read it: the same for training, evaluation and nodes.

The origin is where a straight line through the newest 0.6 s ends, the x axis its direction, so that a network sees
neither the map nor the direction of travel, and going straight on is the start of everything it says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FIT_S = 0.6
CHANNELS = 5
RESIDUAL_M, CHANGE_MPS, SPEED_MPS = 0.5, 2.0, 10.0
STANDING_MPS = 0.05


@dataclass(frozen=True)
class Agents:
    """N bodies: ``origin`` (N, 2) m, ``axes`` (N, 2, 2) whose rows are x and y of the body's frame, ``speed`` (N,)."""

    origin: Array
    axes: Array
    speed: Array

    def into(self, positions: Array) -> Array:
        """Positions (N, ..., 2) of the map in the bodies' frames."""
        shape = (len(self.origin), *(1,) * (positions.ndim - 2), 2)
        return np.asarray(np.einsum("nij,n...j->n...i", self.axes, positions - self.origin.reshape(shape)))

    def out(self, positions: Array) -> Array:
        """Positions (N, ..., 2) of the bodies' frames on the map."""
        shape = (len(self.origin), *(1,) * (positions.ndim - 2), 2)
        return np.asarray(np.einsum("nji,n...j->n...i", self.axes, positions) + self.origin.reshape(shape))

    def out_covariance(self, covariance: Array) -> Array:
        """Covariances (N, ..., 2, 2) likewise."""
        return np.asarray(np.einsum("nki,n...kl,nlj->n...ij", self.axes, covariance, self.axes, optimize=True))


def read_agents(history: Array, dt_s: float) -> tuple[Agents, NDArray[np.float32]]:
    """The bodies of histories (N, H, 2) without gaps, H 3 or more, and what a network reads of them (N, H, 5).

    The channels are the distance from the straight line (x, y), the velocity less that of the line (x, y), and the
    speed, each by its scale.
    """
    N, H, _ = history.shape
    rows = min(H, max(3, round(FIT_S / dt_s) + 1))
    t = dt_s * np.arange(1 - rows, 1.0)
    centred = t - t.mean()
    velocity = np.einsum("t,ntd->nd", centred, history[:, -rows:]) / (centred**2).sum()
    origin = history[:, -rows:].mean(1) - velocity * t.mean()
    speed = np.linalg.norm(velocity, axis=1)
    stands = speed < STANDING_MPS
    x = np.where(stands[:, None], [1.0, 0.0], velocity / np.maximum(speed, STANDING_MPS)[:, None])
    agents = Agents(origin, np.stack([x, np.stack([-x[:, 1], x[:, 0]], -1)], 1), speed)
    own = agents.into(history)
    line = np.zeros((N, H, 2))
    line[..., 0] = speed[:, None] * dt_s * np.arange(1 - H, 1.0)
    steps = np.diff(own, axis=1, prepend=2 * own[:, :1] - own[:, 1:2]) / dt_s
    steps[..., 0] -= speed[:, None]
    told = np.broadcast_to(speed[:, None, None] / SPEED_MPS, (N, H, 1))
    features = np.concatenate([(own - line) / RESIDUAL_M, steps / CHANGE_MPS, told], -1)
    return agents, features.astype(np.float32)
