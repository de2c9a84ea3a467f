"""A program of the streaming engine: operations, weights and sizes, checked whole before any of it runs.

On disk it is one safetensors file: the operations, the weights, and the sizes as metadata. A file that was altered is
refused, since the engine in C++ follows the offsets in it without looking.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.nn.engine.operations import ACTIVATIONS, HOLDING, NAMES, ROW, extents

FORMAT = "knuckle-engine-1"
MOST = 1 << 28
"""Numbers that the values or the state of a program may hold."""


@dataclass(frozen=True)
class Program:
    """What the engine runs for each sample of ``inputs`` numbers, for ``outputs`` numbers that lie at ``result``.

    ``operations`` int32 (count, 16), ``weights`` float32; ``values`` and ``state`` are the sizes of those two.
    """

    operations: NDArray[np.int32]
    weights: NDArray[np.float32]
    inputs: int
    outputs: int
    result: int
    values: int
    state: int

    def check(self, *, where: str = "program") -> Program:
        """The program itself. Raises InputError where anything reaches beyond what is there, or is not finite."""
        problem = self._sizes() or next(filter(None, map(self._row, range(len(self.operations)))), "")
        if not problem:
            problem = _nesting(self.operations)
        if not problem and not np.isfinite(self.weights).all():
            problem = "weights that are not finite"
        if problem:
            raise InputError(f"the program has {problem}", where=where, right="a program as it was compiled")
        return self

    def _sizes(self) -> str:
        rows, weights = self.operations, self.weights
        if rows.dtype != np.int32 or rows.ndim != 2 or rows.shape[1] != ROW or weights.dtype != np.float32:
            return f"operations {rows.dtype} {rows.shape} and weights {weights.dtype}"
        if not (0 < self.inputs <= self.values <= MOST and 0 <= self.state <= MOST):
            return f"{self.inputs} inputs, {self.values} values and {self.state} state"
        if self.outputs < 1 or not 0 <= self.result <= self.values - self.outputs:
            return f"{self.outputs} outputs at {self.result} of {self.values}"
        return ""

    def _row(self, i: int) -> str:
        row = self.operations[i]
        if not 0 <= row[0] < len(NAMES):
            return f"an unknown operation {row[0]}"
        name, (n, m, k) = NAMES[row[0]], (int(x) for x in row[6:9])
        limits = {"values": self.values, "weights": self.weights.size, "state": self.state}
        if min(n, m, k) < 0 or (n == 0 and name not in (*HOLDING, "tick")):
            return f"a size below 0 in operation {i} ({name})"
        needs = {"linear": (m,), "conv": (m,), "rms_norm": (m,), "ssd": (k, int(row[13])), "attend": (m, k)}
        cycles = dict.fromkeys((*HOLDING, "reset", "tick"), (m,))
        if min((needs | cycles).get(name, (1,))) < 1 or (name == "activate" and m >= len(ACTIVATIONS)):
            return f"a size that cannot be in operation {i} ({name})"
        divides = {"rms_norm": (n, m), "ssd": (n, k), "attend": (n, 2 * m)}.get(name, (0, 1))
        if divides[0] % divides[1] or (name == "ssd" and k % int(row[13])):
            return f"parts that do not divide the whole in operation {i} ({name})"
        for space, begin, end in extents(row):
            if begin < 0 or end > limits[space]:
                return f"an operation {i} ({name}) that reaches {space} {begin} to {end} of {limits[space]}"
        return ""

    def counters(self) -> list[tuple[int, int]]:
        """Numbers of the state that count: where each lies, and what it stays below."""
        found: dict[int, int] = {}
        base, copies, free = [0], 1, 0
        for i, row in enumerate(self.operations):
            name, n, m, k, state, aux = NAMES[row[0]], *(int(row[j]) for j in (6, 7, 8, 12, 13))
            if i >= free:
                base = [0]
            if name in HOLDING and name != "every":
                copies, free = m, i + 1 + n
                base = [state + copy * k for copy in range(copies)]
            if name in (*HOLDING, "reset", "tick"):
                found[aux] = min(found.get(aux, 2 * m), 2 * m)
            elif name == "attend":
                found |= {begin + state: k for begin in base} | {begin + state + 1: k + 1 for begin in base}
        return sorted(found.items())

    def save(self, path: Path) -> None:
        """Write the program to one file, whole or not at all."""
        from safetensors.numpy import save

        sizes = {name: getattr(self, name) for name in ("inputs", "outputs", "result", "values", "state")}
        tensors = {"operations": self.operations, "weights": self.weights}
        beside = path.with_name(f".{path.name}.new")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(save(tensors, {"format": FORMAT, "sizes": json.dumps(sizes)}))
        os.replace(beside, path)


def _nesting(rows: NDArray[np.int32]) -> str:
    """What is wrong with operations that hold others: more than there are, others that hold, or too little state."""
    free = 0
    for i, row in enumerate(rows):
        name, n = NAMES[row[0]], int(row[6])
        if name in HOLDING:
            if i < free or i + 1 + n > len(rows):
                return f"an operation {i} ({name}) inside another, or that holds more than follow"
            free, room = i + 1 + n, None if name == "every" else int(row[8])
        elif i < free and room is not None and (name in ("reset", "tick") or _state_end(row) > room):
            return f"an operation {i} ({name}) that reaches beyond its own state"
    return ""


def _state_end(row: NDArray[np.int32]) -> int:
    return max((end for space, _, end in extents(row) if space == "state"), default=0)


def load_program(path: Path) -> Program:
    """The program in a file that `Program.save` wrote, checked. Raises InputError for any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            meta: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), right="a program of the streaming engine") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"it cannot be read ({error})", where=str(path), right="a safetensors file") from error
    try:
        if meta["format"] != FORMAT:
            raise KeyError("format")
        sizes = {name: int(value) for name, value in json.loads(meta["sizes"]).items()}
        program = Program(tensors["operations"], tensors["weights"], **sizes)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError("this is no program of the streaming engine", where=str(path), right=FORMAT) from None
    return program.check(where=str(path))
