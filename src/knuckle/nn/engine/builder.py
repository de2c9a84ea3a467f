"""Writes a program of the streaming engine operation by operation, and lays out its values, weights and state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from knuckle.nn.engine.operations import ACTIVATIONS, CODES, FIELDS, ROW, padded
from knuckle.nn.engine.program import Program

Weights = NDArray[np.float32]
SLACK = 64
"""Numbers beyond the last vector that whole-vector reads may touch."""


@dataclass(frozen=True)
class Vector:
    """``size`` numbers among the values, from ``at``."""

    at: int
    size: int

    def part(self, begin: int, size: int) -> Vector:
        """``size`` numbers of it from ``begin``."""
        assert begin >= 0
        assert begin + size <= self.size
        return Vector(self.at + begin, size)


def rows(x: NDArray[np.floating]) -> Weights:
    """An array (..., n) with its last axis padded with zeros to a multiple of 16."""
    x = np.asarray(x, dtype=np.float32)
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, padded(x.shape[-1]) - x.shape[-1])])


@dataclass
class Builder:
    """A program in the making for samples of ``inputs`` numbers."""

    inputs: int
    _rows: list[dict[str, int]] = field(default_factory=list)
    _weights: list[Weights] = field(default_factory=list)
    _weight_count: int = 0
    _values: int = 0
    _most: int = 0
    _state: int = 0

    def __post_init__(self) -> None:
        self.input = self.vector(self.inputs)

    def vector(self, size: int) -> Vector:
        """Room for ``size`` numbers among the values."""
        made = Vector(self._values, size)
        self._values += padded(size, 64)
        self._most = max(self._most, self._values)
        return made

    @contextlib.contextmanager
    def temporary(self) -> Iterator[None]:
        """Vectors made inside share their room with those made after."""
        kept = self._values
        yield
        self._values = kept

    def state(self, *shape: int) -> int:
        """Room among the state for an array whose last axis is padded; where it begins."""
        begin = self._state
        self._state += int(np.prod(shape[:-1], dtype=np.int64)) * padded(shape[-1])
        return begin

    def weights(self, x: NDArray[np.floating]) -> int:
        """Where ``x`` begins among the weights, flat, as it is; every array begins at a multiple of 16."""
        flat = np.ascontiguousarray(x, dtype=np.float32).reshape(-1)
        begin = self._weight_count
        self._weights.append(np.pad(flat, (0, padded(flat.size) - flat.size)))
        self._weight_count += padded(flat.size)
        return begin

    def emit(self, name: str, **fields: int) -> dict[str, int]:
        """One operation; numbers that are not named are 0. They may be set until the program is made."""
        self._rows.append({"code": CODES[name], **fields})
        return self._rows[-1]

    def unary(self, name: str, a: Vector, out: Vector | None = None, **fields: int) -> Vector:
        """An operation from one vector to another of its size."""
        out = out or self.vector(a.size)
        self.emit(name, out=out.at, a=a.at, n=a.size, **fields)
        return out

    def binary(self, name: str, a: Vector, b: Vector, out: Vector | None = None) -> Vector:
        """An operation from two vectors to another of their size."""
        assert a.size == b.size
        out = out or self.vector(a.size)
        self.emit(name, out=out.at, a=a.at, b=b.at, n=a.size)
        return out

    def activate(self, kind: str, a: Vector) -> Vector:
        """One of ACTIVATIONS on every number."""
        return self.unary("activate", a, m=ACTIVATIONS.index(kind))

    def linear(
        self, a: Vector, weight: NDArray[np.floating], bias: NDArray[np.floating] | None, out: Vector | None = None
    ) -> Vector:
        """``weight`` (outputs, inputs) times ``a`` plus ``bias``."""
        outputs, inputs = weight.shape
        assert a.size == inputs
        out = out or self.vector(outputs)
        panels = [rows(weight[begin : begin + 64].T).reshape(-1) for begin in range(0, outputs, 64)]
        w1 = -1 if bias is None else self.weights(rows(bias))
        self.emit("linear", out=out.at, a=a.at, n=inputs, m=outputs, w0=self.weights(np.concatenate(panels)), w1=w1)
        return out

    def layer_norm(self, a: Vector, weight: NDArray[np.floating], bias: NDArray[np.floating], epsilon: float) -> Vector:
        """``a`` to mean 0 and variance 1, scaled and shifted."""
        w0, w1 = self.weights(rows(weight)), self.weights(rows(bias))
        return self.unary("layer_norm", a, w0=w0, w1=w1, w2=self.weights(np.array([epsilon])))

    def rms_norm(
        self, a: Vector, weight: NDArray[np.floating], epsilon: float, groups: int = 1, out: Vector | None = None
    ) -> Vector:
        """``a`` to a mean square of 1 in each group, scaled."""
        w0 = self.weights(np.concatenate([rows(weight), np.zeros(16, np.float32)]))
        return self.unary("rms_norm", a, out, m=groups, w0=w0, w2=self.weights(np.array([epsilon])))

    @contextlib.contextmanager
    def holding(self, name: str, **fields: int) -> Iterator[dict[str, int]]:
        """An operation that holds those emitted inside."""
        row, before = self.emit(name, **fields), len(self._rows)
        yield row
        row["n"] = len(self._rows) - before

    @contextlib.contextmanager
    def holding_states(self, name: str, copies: int, counter: int) -> Iterator[None]:
        """An operation that holds those emitted inside, and as many copies of the state that they make."""
        outside, self._state = self._state, 0
        with self.holding(name, m=copies, aux=counter) as row:
            yield
        row["k"], self._state = max(self._state, 16), outside
        row["state"] = self.state(copies, row["k"])

    @property
    def state_size(self) -> int:
        """State so far."""
        return self._state

    def program(self, result: Vector) -> Program:
        """The finished program, whose output is ``result``; checked."""
        table = np.zeros((len(self._rows), ROW), np.int32)
        for i, row in enumerate(self._rows):
            for name, value in row.items():
                table[i, FIELDS.index(name)] = value
        weights = np.concatenate([*self._weights, np.zeros(SLACK, np.float32)])
        return Program(table, weights, self.inputs, result.size, result.at, self._most + SLACK, self._state).check()
