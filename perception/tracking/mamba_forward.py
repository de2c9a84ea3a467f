"""A trained Mamba layer at work without torch: the equations of knuckle.nn.mamba in numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from knuckle.perception.tracking.track_features import Floats

Weights = Mapping[str, Floats]


def linear(x: Floats, weights: Weights, name: str) -> Floats:
    """A layer named ``name``: x W^T, plus its bias where it has one."""
    out = x @ weights[f"{name}.weight"].T
    bias = weights.get(f"{name}.bias")
    return np.asarray(out if bias is None else out + bias, dtype=np.float32)


def layer_norm(x: Floats, weights: Weights, name: str) -> Floats:
    """torch's LayerNorm over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-5))
    return np.asarray(centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"], dtype=np.float32)


def silu(x: Floats) -> Floats:
    """x times its logistic."""
    return np.asarray(x / (np.float32(1.0) + np.exp(-np.clip(x, -80.0, 80.0))), dtype=np.float32)


def softplus(x: Floats) -> Floats:
    """log(1 + e^x)."""
    # numpy's logaddexp is several times as slow; what log1p would keep beside one is below float32's last digit.
    return np.asarray(np.maximum(x, 0.0) + np.log(np.float32(1.0) + np.exp(-np.abs(x))), dtype=np.float32)


def mamba(x: Floats, weights: Weights, name: str) -> Floats:
    """The layer ``name`` over ``x`` (N, L, d), from the zero state."""
    n, rows, _ = x.shape
    kernel = weights[f"{name}.conv1d.weight"][:, 0]
    inner, taps = kernel.shape
    both = linear(x, weights, f"{name}.in_proj")
    u, z = both[..., :inner], both[..., inner:]
    padded = np.concatenate([np.zeros((n, taps - 1, inner), dtype=np.float32), u], axis=1)
    filtered = sum(padded[:, k : k + rows] * kernel[:, k] for k in range(taps))
    u = silu(np.asarray(filtered + weights[f"{name}.conv1d.bias"], dtype=np.float32))
    selected = linear(u, weights, f"{name}.x_proj")
    rank = weights[f"{name}.dt_proj.weight"].shape[1]
    a = -np.exp(weights[f"{name}.A_log"])
    states = a.shape[1]
    b, c = selected[..., rank : rank + states], selected[..., rank + states :]
    dt = softplus(linear(selected[..., :rank], weights, f"{name}.dt_proj"))
    decay = np.exp(dt[..., None] * a)
    drive = (dt * u)[..., None] * b[:, :, None, :]
    for k in range(1, rows):
        drive[:, k] += decay[:, k] * drive[:, k - 1]
    y = np.matmul(drive, c[..., None])[..., 0]
    y = (y + weights[f"{name}.D"] * u) * silu(z)
    return linear(np.asarray(y, dtype=np.float32), weights, f"{name}.out_proj")
