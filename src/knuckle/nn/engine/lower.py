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

from knuckle.core.errors import InputError, unknown_name
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


def mamba2(build: Builder, a: Vector, layer: Any) -> Vector:
    """One sample of Mamba-2. Raises InputError for limits on the step sizes and a D of every channel."""
    if tuple(layer.dt_limit) != (0.0, math.inf) or layer.D_has_hdim:
        what = f"dt_limit={layer.dt_limit}, D_has_hdim={layer.D_has_hdim}"
        raise InputError(what, where="streaming engine", right="a Mamba2 without either")
    d, heads, groups, states = layer.d_ssm, layer.nheads, layer.ngroups, layer.d_state
    rest, wide = layer.d_inner - d, layer.conv1d.in_channels
    parts = linear(build, a, layer.in_proj)
    joined = Vector(build.vector(layer.d_inner + 64).at, layer.d_inner)
    if rest:  # written first: the end of its last vector is then written over by what the scan gives
        build.binary(
            "multiply", build.activate("silu", parts.part(0, rest)), parts.part(rest, rest), joined.part(0, rest)
        )
    z, dt = parts.part(2 * rest, d), parts.part(2 * rest + d + wide, heads)
    x = causal_conv(build, parts.part(2 * rest + d, wide), layer.conv1d)
    y, gate = build.vector(d + 16), build.activate("silu", z)
    numbers = (-np.exp(array(layer.A_log)) * LOG2E, array(layer.D), array(layer.dt_bias))
    w0, w1, w2 = (build.weights(rows(number)) for number in numbers)
    state = build.state(heads, states, layer.headdim)
    B, C = x.at + d, x.at + d + groups * states
    sizes = {"n": d, "m": states, "k": heads, "aux": groups}
    build.emit("ssd", out=y.at, a=x.at, b=dt.at, c=B, d=C, **sizes, w0=w0, w1=w1, w2=w2, state=state)
    y, out = Vector(y.at, d), joined.part(rest, d)
    if not layer.rmsnorm:
        build.binary("multiply", y, gate, out)
    elif layer.norm_before_gate:
        build.binary("multiply", _norm_of_groups(build, y, layer.norm), gate, out)
    else:
        _norm_of_groups(build, build.binary("multiply", y, gate), layer.norm, out)
    return linear(build, joined, layer.out_proj)


def _norm_of_groups(build: Builder, y: Vector, norm: Any, out: Vector | None = None) -> Vector:
    return build.rms_norm(y, array(norm.weight), norm.eps, norm.groups, out)


def s4d(build: Builder, a: Vector, layer: Any) -> Vector:
    """One sample of S4D."""
    y = _linear_system(build, a, layer.kernel.system(), layer.D)
    return _mixed(build, y, layer.output_linear[0])


def s4(build: Builder, a: Vector, layer: Any) -> Vector:
    """One sample of S4."""
    y = _linear_system(build, a, layer.layer.kernel.system(), layer.layer.D[0])
    return _mixed(build, y, layer.output_linear[0])


def _linear_system(build: Builder, a: Vector, system: Any, D: torch.Tensor) -> Vector:
    """A LinearSystem of knuckle.nn.linear_system; where it is diagonal, ``b`` is folded into the readout."""
    f = np.stack([array(system.f_re).T, array(system.f_im).T])
    b, c = (array(x).T.reshape(f.shape) for x in (system.b, system.c))
    w2 = -1
    if system.p is None:
        c = np.stack([c[0] * b[0] + c[1] * b[1], c[1] * b[0] - c[0] * b[1]])
    else:
        w2 = build.weights(rows(np.concatenate([b, *(array(x).T.reshape(f.shape) for x in (system.p, system.q))])))
    w0, w1 = build.weights(rows(np.concatenate([f, c]))), build.weights(rows(array(D)))
    modes = f.shape[1]
    return build.unary("modes", a, m=modes, w0=w0, w1=w1, w2=w2, state=build.state(2, modes, a.size))


def _mixed(build: Builder, y: Vector, mix: Any) -> Vector:
    """GELU, a linear map to twice the channels, and their gate."""
    weight = array(mix.weight).reshape(2 * y.size, y.size)
    both = Vector(build.vector(2 * y.size + 16).at, 2 * y.size)
    build.linear(build.activate("gelu", y), weight, array(mix.bias), both)
    out = build.vector(y.size)
    build.emit("glu", out=out.at, a=both.at, n=y.size)
    return out


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
    "Mamba2": mamba2,
    "S4": s4,
    "S4D": s4d,
}
"""Class of a layer to what emits its operations."""


def layer(build: Builder, a: Vector, made: Any) -> Vector:
    """The operations of one layer. Raises InputError for a class that the engine does not know."""
    name = type(made).__name__
    if name not in LOWERED:
        raise unknown_name("layer", name, LOWERED, where="streaming engine")
    return LOWERED[name](build, a, made)
