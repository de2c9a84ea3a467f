"""How each kind of layer becomes operations of the streaming engine: one function a kind, by the layer's class.

The classes are those of knuckle.nn; each function reads the layer's parameters and leaves the layer as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knuckle.core.errors import unknown_name
from knuckle.nn.engine.builder import Builder, Vector, rows

LOG2E = 1 / math.log(2)


def array(x: torch.Tensor) -> NDArray[np.float64]:
    """A parameter as float64, so that what is folded together is rounded once."""
    return np.asarray(x.detach().cpu().numpy().astype(np.float64))


def linear(build: Builder, a: Vector, layer: nn.Linear, out: Vector | None = None) -> Vector:
    """A linear layer."""
    return build.linear(a, array(layer.weight), None if layer.bias is None else array(layer.bias), out)


def layer_norm(build: Builder, a: Vector, norm: nn.LayerNorm) -> Vector:
    """A layer norm over the channels."""
    return build.layer_norm(a, array(norm.weight), array(norm.bias), norm.eps)


def causal_conv(build: Builder, a: Vector, conv: nn.Conv1d) -> Vector:
    """A causal filter of each channel with its silu; the state leaves out the oldest input, which nothing reads."""
    weight = array(conv.weight)[:, 0]
    bias = np.zeros(a.size) if conv.bias is None else array(conv.bias)
    taps = weight.shape[1]
    state = build.state(taps - 1, a.size) if taps > 1 else 0
    w0, w1 = build.weights(rows(weight.T)), build.weights(rows(bias))
    return build.unary("conv", a, m=taps, w0=w0, w1=w1, state=state)


def mamba(build: Builder, a: Vector, layer: Any) -> Vector:
    """One sample of Mamba."""
    inner, states = layer.d_inner, layer.d_state
    both = linear(build, a, layer.in_proj)
    x = causal_conv(build, both.part(0, inner), layer.conv1d)
    chosen = linear(build, x, layer.x_proj)
    dt = linear(build, chosen.part(0, layer.dt_rank), layer.dt_proj)
    B, C = (chosen.part(layer.dt_rank + begin, states) for begin in (0, states))
    rates = -np.exp(array(layer.A_log)).T * LOG2E
    out = build.vector(inner)
    w0, w1 = build.weights(rows(rates)), build.weights(rows(array(layer.D)))
    state = build.state(states, inner)
    offsets = {"a": x.at, "b": dt.at, "c": B.at, "d": C.at}
    build.emit("scan", out=out.at, **offsets, n=inner, m=states, w0=w0, w1=w1, state=state)
    gated = build.binary("multiply", out, build.activate("silu", both.part(inner, inner)))
    return linear(build, gated, layer.out_proj)


def lstm(build: Builder, a: Vector, layer: Any) -> Vector:
    """One sample of an LSTM layer."""
    of_x, of_h, bias_x, bias_h = (array(w) for w in layer.rnn.all_weights[0])
    state = build.state(2, a.size)
    gates = build.binary("add", *_gates(build, a, state, (of_x, bias_x), (of_h, bias_h)))
    out = build.vector(a.size)
    build.emit("lstm", out=out.at, a=gates.at, n=a.size, state=state)
    return out


def gru(build: Builder, a: Vector, layer: Any) -> Vector:
    """One sample of a GRU layer."""
    of_x, of_h, bias_x, bias_h = (array(w) for w in layer.rnn.all_weights[0])
    state = build.state(a.size)
    x, h = _gates(build, a, state, (of_x, bias_x), (of_h, bias_h))
    out = build.vector(a.size)
    build.emit("gru", out=out.at, a=x.at, b=h.at, n=a.size, state=state)
    return out


Affine = tuple[NDArray[np.float64], NDArray[np.float64]]


def _gates(build: Builder, a: Vector, state: int, of_x: Affine, of_h: Affine) -> tuple[Vector, Vector]:
    """What the gates read of the sample and of the last output, with room beyond for the reader of their parts."""
    before = build.vector(a.size)
    build.emit("load", out=before.at, n=a.size, state=state)
    outputs = len(of_x[1])
    x, h = (Vector(build.vector(outputs + 16).at, outputs) for _ in range(2))
    return build.linear(a, *of_x, x), build.linear(before, *of_h, h)


def feed_forward(build: Builder, a: Vector, layer: Any) -> Vector:
    """A network of one hidden layer."""
    first, _, last = layer.net
    return linear(build, build.activate("gelu", linear(build, a, first)), last)


def attention(build: Builder, a: Vector, layer: Any) -> Vector:
    """One sample of causal attention over a bounded past."""
    n, heads, context = a.size, layer.heads, layer.context
    qkv, out, room = linear(build, a, layer.qkv), build.vector(n), build.vector(context)
    angle = np.outer(np.arange(context), 10_000.0 ** (-np.arange(n // heads // 2) / (n // heads // 2)))
    w0 = build.weights(np.stack([np.cos(angle), -np.sin(angle)]))
    state = build.state(16)
    build.state(2, context, n)
    build.emit("attend", out=out.at, a=qkv.at, b=room.at, n=n, m=heads, k=context, w0=w0, state=state)
    return linear(build, out, layer.out)


LOWERED: dict[str, Callable[[Builder, Vector, Any], Vector]] = {
    "CausalAttention": attention,
    "FeedForward": feed_forward,
    "Gru": gru,
    "Lstm": lstm,
    "Mamba": mamba,
}
"""Class of a layer to what emits its operations."""


def layer(build: Builder, a: Vector, made: Any) -> Vector:
    """The operations of one layer. Raises InputError for a class that the engine does not know."""
    name = type(made).__name__
    if name not in LOWERED:
        raise unknown_name("layer", name, LOWERED, where="streaming engine")
    return LOWERED[name](build, a, made)
