"""MambaTrack's motion predictor at work, without torch; ``knuckle.perception.tracking.mtp_net`` trains it."""

from __future__ import annotations

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags, Ints
from knuckle.perception.tracking.grid_roll import on_grid, roll
from knuckle.perception.tracking.mamba_forward import Weights, layer_norm, linear, mamba, silu
from knuckle.perception.tracking.motion_model import History, Stateless, diagonal
from knuckle.perception.tracking.ridge_motion import moved
from knuckle.perception.tracking.track_features import GAIN, Floats, track_features

SCALE_LOW, SCALE_HIGH = -6.0, 3.0


class MtpMotion(Stateless):
    """A bi-Mamba over the last boxes; the covariance is from the scales that it learned."""

    def __init__(self, frame_s: float, weights: Weights) -> None:
        self.frame_s, self.weights = frame_s, weights
        self.rows = int(weights["place"].shape[0])
        self.layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("stack.layers."))

    def predict(self, history: History, dt_s: float) -> tuple[Array, Array]:
        """The next boxes, rolled over the frames until then, and what the last step thinks its error is."""
        boxes, seen, length = on_grid(history, self.frame_s, self.rows)
        scales = np.zeros((len(history), 4))

        def step(boxes: Array, seen: Flags, length: Ints, path: Array) -> Array:
            offset, log_scale = self.forward(track_features(boxes, seen, length, path))
            scales[:] = np.exp(log_scale)
            return moved(boxes[:, -1], offset.astype(np.float64))

        mean = roll(step, boxes, seen, length, dt_s / self.frame_s)
        # The variance of a Laplace distribution is twice its scale squared.
        return mean, diagonal(2.0 * (scales * np.tile(mean[:, 2:], 2)) ** 2)

    def step(self, boxes: Array, seen: Flags, length: Ints, path: Array) -> Array:
        """The boxes of the next frame (N, 4)."""
        offset, _ = self.forward(track_features(boxes, seen, length, path))
        return moved(boxes[:, -1], offset.astype(np.float64))

    def forward(self, features: Floats) -> tuple[Floats, Floats]:
        """Offsets (N, 4) and the logarithms of their scales (N, 4), as the network's ``forward`` has them."""
        w = self.weights
        x = linear(features, w, "embed") + w["place"]
        for k in range(self.layers):
            y = layer_norm(x, w, f"stack.norms.{k}")
            back = mamba(np.ascontiguousarray(y[:, ::-1]), w, f"stack.layers.{k}.against")[:, ::-1]
            x = x + mamba(y, w, f"stack.layers.{k}.along") + back
        x = layer_norm(x, w, "stack.norm")
        pooled = np.concatenate([x[:, -1], x.mean(axis=1)], axis=1)
        out = linear(silu(linear(pooled, w, "inner")), w, "head")
        flat = features.reshape(len(features), features.shape[1] * features.shape[2])
        offset = (out[:, :4] + linear(flat, w, "straight")) / np.float32(GAIN)
        return offset, np.clip(out[:, 4:] - np.float32(2.0), SCALE_LOW, SCALE_HIGH)
