"""The operations of the streaming engine: what each computes from which numbers, and how far it reads and writes.

An operation is a row of 16 integers: its code; ``out``, ``a`` to ``d``, offsets into the values (the vectors of one
sample); the sizes ``n``, ``m`` and ``k``; ``w0`` to ``w2``, offsets into the weights; ``state``, an offset into what
lasts from sample to sample; ``aux``; two that are zero. Vectors among weights and state are padded with zeros to a
multiple of 16 numbers, written ``[n]`` below; every output has room up to the next multiple of 64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FIELDS = ("code", "out", "a", "b", "c", "d", "n", "m", "k", "w0", "w1", "w2", "state", "aux")
ROW = 16

NAMES = (
    "linear",  # out[m] = w0 a[n] + w1: panels of 64 outputs, each (n, width); w1 is -1 where there is no bias
    "load",  # out[n] = state[n]
    "add",  # out = a + b, [n]
    "multiply",  # out = a b, [n]
    "layer_norm",  # out = normalised a[n] times w0 plus w1, with the number at w2 under the root
    "rms_norm",  # out = a[n] / rms times w0, for each of m groups; w2 as above
    "activate",  # out = ACTIVATIONS[m] of a[n]
    "glu",  # out = a[:n] sigmoid(a[n:])
    "conv",  # out = silu of a causal filter of m taps: w0 (m, [n]), w1 [n]; state (m - 1, [n]), oldest first
    "scan",  # Mamba: x = a[n], dt = b[n], B = c[m], C = d[m]; w0 (m, [n]) is A log2(e), w1 D; state (m, [n])
    "ssd",  # Mamba-2: k heads, aux groups; dt = b[k]; w0, w1, w2 [k]: A log2(e), D, bias of dt; state (k, m, [n / k])
    "modes",  # m complex modes, h += f h + b x - p (q h); w0 (4, m, [n]): f and readout, each real and imaginary; w1 D;
    # w2 (6, m, [n]): b, p, q, or -1: b is 1 and there is no p q; state (2, m, [n])
    "lstm",  # a = gates (4 n) in, forget, cell, out; state (2, [n]): output and cell
    "gru",  # a, b = what the sample and the last output give the gates (3 n); state [n]
    "attend",  # a = query, key, value (3 n), m heads, k samples; w0 (2, k, n / m / 2): cosine and minus sine of a turn
    # by the age; b: room [k]; state: [2] place and fill, then keys and values (2, k, [n])
    "reset",  # zero state[n] where the counter at state[aux] is a multiple of m
    "every",  # the next n operations where the counter + 1 is a multiple of m; else the output is not new
    "stagger",  # the next n operations for each of m states k apart, each from zero when its turn of m samples begins;
    # the one whose turn ends now comes last
    "phase",  # the next n operations for the state whose turn ends now; before the first end the output is not new
    "tick",  # the counter at state[aux] one further: up to m, then round from m to 2 m
)
CODES = {name: code for code, name in enumerate(NAMES)}

HOLDING = ("every", "stagger", "phase")
"""Operations that hold those after them; none holds another of these."""

ACTIVATIONS = ("silu", "gelu", "sigmoid", "tanh", "softplus", "relu")

Extent = tuple[str, int, int]
"""Where ("values", "weights" or "state"), from, to (exclusive)."""


def padded(n: int, to: int = 16) -> int:
    """``n`` rounded up to a multiple of ``to``."""
    return -(-n // to) * to


def panel_size(n: int, m: int) -> int:
    """Weights of a linear operation from n to m."""
    return n * (m // 64 * 64 + padded(m % 64))


def extents(row: NDArray[np.int32]) -> list[Extent]:
    """Everything that one operation touches; of those that hold others, its own state alone."""
    o = dict(zip(FIELDS, (int(x) for x in row), strict=False))
    n, m, k, wide = o["n"], o["m"], o["k"], padded(o["n"])

    def read(field: str, size: int) -> Extent:
        return "values", o[field], o[field] + padded(size)

    def weight(field: str, size: int) -> Extent:
        return "weights", o[field], o[field] + size

    def state(size: int) -> Extent:
        return "state", o["state"], o["state"] + size

    out = ("values", o["out"], o["out"] + padded(n, 64))
    counter = ("state", o["aux"], o["aux"] + 1)
    match NAMES[o["code"]]:
        case "linear":
            to = ("values", o["out"], o["out"] + padded(m, 64))
            bias = [weight("w1", padded(m))] if o["w1"] >= 0 else []
            return [to, read("a", n), weight("w0", panel_size(n, m)), *bias]
        case "load":
            return [out, state(wide)]
        case "add" | "multiply":
            return [out, read("a", n), read("b", n)]
        case "layer_norm":
            return [out, read("a", n), weight("w0", wide), weight("w1", wide), weight("w2", 1)]
        case "rms_norm":
            return [out, read("a", n), weight("w0", padded(n) + 16), weight("w2", 1)]
        case "activate":
            return [out, read("a", n)]
        case "glu":
            return [out, read("a", 2 * n)]
        case "conv":
            return [out, read("a", n), weight("w0", m * wide), weight("w1", wide), state(max(m - 1, 0) * wide)]
        case "scan":
            inputs = [read("a", n), read("b", n), read("c", m), read("d", m)]
            return [out, *inputs, weight("w0", m * wide), weight("w1", wide), state(m * wide)]
        case "ssd":
            rows = [read("c", m * o["aux"]), read("d", m * o["aux"])]
            heads = [weight(field, padded(k)) for field in ("w0", "w1", "w2")]
            return [out, read("a", n + 16), read("b", k), *rows, *heads, state(k * m * padded(n // max(k, 1)))]
        case "modes":
            more = [weight("w2", 6 * m * wide)] if o["w2"] >= 0 else []
            return [out, read("a", n), weight("w0", 4 * m * wide), weight("w1", wide), *more, state(2 * m * wide)]
        case "lstm":
            return [out, read("a", 4 * n + 16), state(2 * wide)]
        case "gru":
            return [out, read("a", 3 * n + 16), read("b", 3 * n + 16), state(wide)]
        case "attend":
            turn = 2 * k * (n // max(m, 1) // 2)
            return [out, read("a", 3 * n), read("b", k), weight("w0", turn), state(16 + 2 * k * wide)]
        case "reset":
            return [counter, state(n)]
        case "stagger" | "phase":
            return [counter, state(m * k)]
        case _:
            return [counter]
