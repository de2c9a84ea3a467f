"""The streaming engine in numpy: the same programs, for machines without the kernels, and what those are held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from knuckle.nn.engine.operations import FIELDS, NAMES, padded
from knuckle.nn.engine.program import Program

Array = NDArray[Any]


class NumpyRun:
    """A program, its weights in the type that it computes with (float64 is an oracle; a state is then float64)."""

    def __init__(self, program: Program, dtype: type[np.floating] = np.float32) -> None:
        self.program = program
        self._weights = program.weights.astype(dtype)
        self._values = np.zeros(program.values, dtype)
        self._rows = [dict(zip(FIELDS, map(int, row), strict=False)) for row in program.operations]

    def __call__(self, state: Array, x: Array) -> Array | None:
        """The output for one sample ``x``, a new array, or None where there is none; ``state`` is written over."""
        self._values[: self.program.inputs] = x
        with np.errstate(over="ignore", under="ignore"):
            made = self._run(0, len(self._rows), state, state)
        begin = self.program.result
        return self._values[begin : begin + self.program.outputs].copy() if made else None

    def _run(self, begin: int, end: int, state: Array, own: Array) -> bool:
        made, i = True, begin
        while i < end:
            o = self._rows[i]
            name, n, m, k = NAMES[o["code"]], o["n"], o["m"], o["k"]
            if name not in ("reset", "every", "stagger", "phase", "tick"):
                self._compute(name, o, own[o["state"] :])
                i += 1
                continue
            now = int(state[o["aux"]])
            mine = own[o["state"] :]
            if name == "reset" and now % m == 0:
                mine[:n] = 0
            elif name == "tick":
                state[o["aux"]] = m if now + 1 == 2 * m else now + 1
            elif name == "stagger":
                for j in range(2, m + 2):
                    part = mine[(now + j) % m * k :][:k]
                    if (now + j) % m == now % m:
                        part[:] = 0
                    self._run(i + 1, i + 1 + n, state, part)
            elif name == "phase" and now + 1 >= m:
                self._run(i + 1, i + 1 + n, state, mine[(now + 1) % m * k :][:k])
            elif name == "phase" or (name == "every" and (now + 1) % m):
                made = False
                i += n if name == "every" else 0
            i += 1 + (n if name in ("stagger", "phase") else 0)
        return made

    def _compute(self, name: str, o: dict[str, int], kept: Array) -> None:
        size = o["m"] if name == "linear" else o["n"]
        self._values[o["out"] : o["out"] + size] = _COMPUTE[name](self, o, kept)

    def read(self, at: int, size: int) -> Array:
        """Values."""
        return self._values[at : at + size]

    def weight(self, at: int, *shape: int) -> Array:
        """Weights of that shape, whose last axis is padded, without the padding."""
        wide = padded(shape[-1])
        count = int(np.prod(shape[:-1], dtype=np.int64)) * wide
        return self._weights[at : at + count].reshape(*shape[:-1], wide)[..., : shape[-1]]


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(x, 0))


def _silu(x: Array) -> Array:
    return x * _sigmoid(x)


_ACTIVATIONS: tuple[Callable[[Array], Array], ...] = (
    _silu,
    lambda x: x * (0.5 + 0.5 * np.asarray(erf(x * np.sqrt(0.5).astype(x.dtype)))),
    _sigmoid,
    lambda x: np.asarray(np.tanh(x)),
    _softplus,
    lambda x: np.maximum(x, 0),
)


def _rows(kept: Array, *shape: int) -> Array:
    """A view of state of that shape, padded."""
    wide = padded(shape[-1])
    return kept[: int(np.prod(shape[:-1], dtype=np.int64)) * wide].reshape(*shape[:-1], wide)[..., : shape[-1]]


def _linear(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    x, at, parts = run.read(o["a"], o["n"]), o["w0"], []
    for begin in range(0, o["m"], 64):
        width = min(64, o["m"] - begin)
        parts.append(x @ run.weight(at, o["n"], width))
        at += o["n"] * padded(width)
    y = np.concatenate(parts)
    return y if o["w1"] < 0 else np.asarray(y + run.weight(o["w1"], o["m"]))


def _layer_norm(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    x = run.read(o["a"], o["n"])
    scaled = (x - x.mean()) / np.sqrt(x.var() + run.weight(o["w2"], 1))
    return np.asarray(scaled * run.weight(o["w0"], o["n"]) + run.weight(o["w1"], o["n"]))


def _rms_norm(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    x = run.read(o["a"], o["n"]).reshape(o["m"], -1)
    scaled = x / np.sqrt((x * x).mean(1, keepdims=True) + run.weight(o["w2"], 1))
    return np.asarray(scaled.reshape(-1) * run.weight(o["w0"], o["n"]))


def _conv(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    n, taps = o["n"], o["m"]
    before = _rows(kept, taps - 1, n)
    inputs = np.concatenate([before, run.read(o["a"], n)[None]])
    before[:] = inputs[1:]
    return _silu((inputs * run.weight(o["w0"], taps, n)).sum(0) + run.weight(o["w1"], n))


def _scan(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    n, m = o["n"], o["m"]
    x, dt, h = run.read(o["a"], n), _softplus(run.read(o["b"], n)), _rows(kept, m, n)
    h[:] = np.exp2(dt * run.weight(o["w0"], m, n)) * h + dt * x * run.read(o["c"], m)[:, None]
    return np.asarray(run.read(o["d"], m) @ h + run.weight(o["w1"], n) * x)


def _ssd(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    n, m, heads, groups = o["n"], o["m"], o["k"], o["aux"]
    x, h = run.read(o["a"], n).reshape(heads, -1), _rows(kept, heads, m, n // heads)
    dt = _softplus(run.read(o["b"], heads) + run.weight(o["w2"], heads))
    decay = np.exp2(dt * run.weight(o["w0"], heads))
    B, C = (run.read(o[f], m * groups).reshape(groups, m).repeat(heads // groups, 0) for f in "cd")
    h[:] = decay[:, None, None] * h + B[:, :, None] * (dt[:, None] * x)[:, None]
    return np.asarray(((C[:, :, None] * h).sum(1) + run.weight(o["w1"], heads)[:, None] * x).reshape(-1))


def _modes(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    n, m = o["n"], o["m"]
    x, h = run.read(o["a"], n), _rows(kept, 2, m, n)
    weights = run.weight(o["w0"], 4, m, n)
    (f, g), readout = weights[:2], weights[2:]
    change = np.stack([f * h[0] - g * h[1], f * h[1] + g * h[0]])
    if o["w2"] < 0:
        change[0] += x
    else:
        b, p, q = run.weight(o["w2"], 6, m, n).reshape(3, 2, m, n)
        change += b * x - p * (q * h).sum((0, 1))
    h += change
    return np.asarray((readout * h).sum((0, 1)) + run.weight(o["w1"], n) * x)


def _lstm(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    into, forget, fresh, out = run.read(o["a"], 4 * o["n"]).reshape(4, -1)
    h = _rows(kept, 2, o["n"])
    h[1] = _sigmoid(forget) * h[1] + _sigmoid(into) * np.tanh(fresh)
    h[0] = _sigmoid(out) * np.tanh(h[1])
    return np.asarray(h[0])


def _gru(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    of_x, of_h = (run.read(o[f], 3 * o["n"]).reshape(3, -1) for f in "ab")
    h = _rows(kept, o["n"])
    keep = _sigmoid(of_x[1] + of_h[1])
    h[:] = (1 - keep) * np.tanh(of_x[2] + _sigmoid(of_x[0] + of_h[0]) * of_h[2]) + keep * h
    return h


def _attend(run: NumpyRun, o: dict[str, int], kept: Array) -> Array:
    n, heads, context = o["n"], o["m"], o["k"]
    query, key, value = run.read(o["a"], 3 * n).reshape(3, n)
    keys, values = _rows(kept[16:], 2, context, n)
    place, filled = int(kept[0]), min(int(kept[1]) + 1, context)
    keys[place], values[place] = key, value
    kept[:2] = (place + 1) % context, filled
    seen = (place - np.arange(filled)) % context
    half = n // heads // 2
    turn = run._weights[o["w0"] : o["w0"] + 2 * context * half].reshape(2, context, 1, half)[:, :filled]
    q = query.reshape(heads, 2, half)
    k = keys[seen].reshape(filled, heads, 2, half)
    turned = turn[0] * (q[:, 0] * k[:, :, 0] + q[:, 1] * k[:, :, 1])
    turned = turned + turn[1] * (q[:, 1] * k[:, :, 0] - q[:, 0] * k[:, :, 1])
    scores = turned.sum(2) / np.sqrt(np.asarray(2 * half, k.dtype))
    weights = np.exp(scores - scores.max(0))
    weights = weights / weights.sum(0)
    return np.asarray((weights[:, :, None] * values[seen].reshape(filled, heads, -1)).sum(0).reshape(-1))


_COMPUTE: dict[str, Callable[[NumpyRun, dict[str, int], Array], Array]] = {
    "linear": _linear,
    "load": lambda run, o, kept: kept[: o["n"]],
    "add": lambda run, o, kept: run.read(o["a"], o["n"]) + run.read(o["b"], o["n"]),
    "multiply": lambda run, o, kept: run.read(o["a"], o["n"]) * run.read(o["b"], o["n"]),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "activate": lambda run, o, kept: _ACTIVATIONS[o["m"]](run.read(o["a"], o["n"])),
    "glu": lambda run, o, kept: run.read(o["a"], o["n"]) * _sigmoid(run.read(o["a"] + o["n"], o["n"])),
    "conv": _conv,
    "scan": _scan,
    "ssd": _ssd,
    "modes": _modes,
    "lstm": _lstm,
    "gru": _gru,
    "attend": _attend,
}
