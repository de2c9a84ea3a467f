"""TrackSSM at work, without torch; ``knuckle.perception.tracking.track_ssm_net`` trains it."""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.grid_roll import on_grid, roll
from knuckle.perception.tracking.mamba_forward import Weights, layer_norm, linear, mamba, silu, softplus
from knuckle.perception.tracking.motion_model import History, Stateless
from knuckle.perception.tracking.ridge_motion import moved, spread_covariance
from knuckle.perception.tracking.track_features import GAIN, Floats, track_features

BANDS, LOWEST = 6, 0.5


class TrackSsmMotion(Stateless):
    """An encoded history flows from the newest box to the next; the covariance is a table by frames unseen."""

    def __init__(self, frame_s: float, weights: Weights) -> None:
        self.frame_s, self.weights = frame_s, weights
        self.rows = int(weights["rows"][0])
        self.spread = np.asarray(weights["spread"], dtype=np.float64)
        self.encoder, self.decoder = (
            1 + max(int(name.split(".")[1]) for name in weights if name.startswith(part))
            for part in ("encoder.", "decoder.")
        )

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """The next boxes, and the covariance of the errors after as many frames unseen when it was trained."""
        boxes, seen, length = on_grid(history, self.frame_s, self.rows)
        mean = roll(self.step, boxes, seen, length, dt_s / self.frame_s)
        return mean, spread_covariance(self.spread, mean, history.lost_s + dt_s, self.frame_s)

    def step(self, boxes: Array, seen: Flags, length: Ints, path: Array) -> Array:
        """The boxes of the next frame (N, 4)."""
        boxes, seen, length = boxes[:, -self.rows :], seen[:, -self.rows :], np.minimum(length, self.rows)
        offset = self.forward(track_features(boxes, seen, length, path[..., -self.rows :, :]))
        return moved(boxes[:, -1], offset.astype(np.float64))

    def forward(self, features: Floats) -> Floats:
        """Offsets (N, 4) after the last step, as the network's ``forward`` has them."""
        w, n = self.weights, len(features)
        x = linear(features, w, "embed")
        flat = features.reshape(n, features.shape[1] * features.shape[2])
        share = linear(flat, w, "straight") / np.float32(GAIN * self.decoder)
        for k in range(self.encoder):
            x = x + mamba(layer_norm(x, w, f"norms.{k}"), w, f"encoder.{k}")
        flow = layer_norm(x[:, -1], w, "last")
        offset = np.zeros((n, 4), dtype=np.float32)
        h = np.zeros((n, *w["decoder.0.A_log"].shape), dtype=np.float32)
        for k in range(self.decoder):
            name = f"decoder.{k}"
            both = linear(linear(_sines(offset), w, f"{name}.embed"), w, f"{name}.enter")
            u, z = np.split(both, 2, axis=1)
            u = silu(u)
            selected = linear(flow, w, f"{name}.flow")
            rank, states = w[f"{name}.size.weight"].shape[1], h.shape[2]
            dt = softplus(linear(selected[:, :rank], w, f"{name}.size"))
            b, c = selected[:, rank : rank + states], selected[:, rank + states :]
            h = np.exp(-dt[..., None] * np.exp(w[f"{name}.A_log"])) * h + (dt * u)[..., None] * b[:, None]
            y = (np.matmul(h, c[..., None])[..., 0] + w[f"{name}.D"] * u) * silu(z)
            wide = np.maximum(linear(y, w, f"{name}.wide"), 0.0)
            y = layer_norm(y + linear(wide, w, f"{name}.narrow"), w, f"{name}.norm")
            offset = offset + np.float32(0.1) * linear(y, w, f"{name}.head") + share
        return np.asarray(offset, dtype=np.float32)


def _sines(x: Floats) -> Floats:
    octaves = (2.0 ** np.arange(BANDS)).astype(np.float32)
    turns = np.float32(2.0 * np.pi * LOWEST) * x[:, :, None] * octaves
    both = np.concatenate([np.sin(turns), np.cos(turns)], axis=2)
    return both.reshape(len(x), 8 * BANDS)
