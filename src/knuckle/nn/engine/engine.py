"""The streaming engine: a compiled stack, one sample at a time, without torch.

The program runs in C++ from its first operation to its last, or, where there are no kernels, in numpy. The state is
one float32 array: copy it to save it, put it back to go on with the same bits.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError, RunError
from knuckle.nn.engine.numpy_run import NumpyRun
from knuckle.nn.engine.program import Program
from knuckle.nn.kernels.library import instruction_set, library, missing

Floats = NDArray[np.float32]


class StreamingEngine:
    """One stream of samples through ``program``.

    ``backend`` is "cpp", "numpy", or "auto": C++ where the kernels are there. ``instructions`` forces an instruction
    set. Raises InputError for an unknown backend, and where a forced one cannot run. Not to be shared by threads.
    """

    def __init__(self, program: Program, *, backend: str = "auto", instructions: str = "") -> None:
        if backend not in ("auto", "cpp", "numpy"):
            raise InputError(f"unknown backend '{backend}'", where="streaming engine", right="auto, cpp or numpy")
        self.program = program
        self.backend = ("numpy" if missing() else "cpp") if backend == "auto" else backend
        self._state = _aligned(max(program.state, 1))[: program.state]
        self._runner = _Native(program, self._state, instructions) if self.backend == "cpp" else None
        self._numpy = NumpyRun(program) if self._runner is None else None

    def step(self, x: Floats) -> Floats | None:
        """The output (outputs,), a new array, for the sample ``x`` (inputs,); None at samples that bring none.

        Raises InputError for another shape.
        """
        if x.shape != (self.program.inputs,):
            what = f"the sample has shape {x.shape}"
            raise InputError(what, where="streaming engine", right=f"({self.program.inputs},)")
        if self._runner is not None:
            return self._runner.step(x)
        assert self._numpy is not None
        return self._numpy(self._state, x)

    def run(self, x: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Outputs (L, outputs) for ``x`` (L, inputs), NaN where there is none; and where there is one."""
        if x.ndim != 2 or x.shape[1] != self.program.inputs:
            what = f"the samples have shape {x.shape}"
            raise InputError(what, where="streaming engine", right=f"(L, {self.program.inputs})")
        out = np.full((len(x), self.program.outputs), np.nan, np.float32)
        if self._runner is not None:
            return out, self._runner.run(x, out)
        made = np.zeros(len(x), bool)
        for t, sample in enumerate(x):
            y = self.step(sample)
            if y is not None:
                out[t], made[t] = y, True
        return out, made

    def state(self) -> Floats:
        """A copy of what the next step depends on, (size,)."""
        return self._state.copy()

    def restore(self, state: Floats) -> None:
        """Go on from ``state``, as `state` gave it. Raises InputError for a state of another program, or with NaN."""
        if state.shape != self._state.shape or state.dtype != np.float32:
            what = f"the state is {state.dtype} {state.shape}"
            raise InputError(what, where="streaming engine", right=f"float32 {self._state.shape} of the same program")
        if not np.isfinite(state).all() or not self._counters_fit(state):
            raise InputError("the state holds numbers that no state has", where="streaming engine", right="a saved one")
        self._state[:] = state

    def reset(self) -> None:
        """Back to the state before any sample."""
        self._state[:] = 0

    def step_batch(self, x: Floats, states: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """One step of several streams: outputs (batch, outputs), NaN where there is none, and where there is one.

        ``x`` (batch, inputs); ``states`` (batch, size), float32, each as `state` gives it, written over. The engine's
        own state stays as it is. Raises InputError for other shapes or a state that does not fit.
        """
        if states.ndim != 2 or len(states) != len(x):
            what = f"{len(x)} samples and states {states.shape}"
            raise InputError(what, where="streaming engine", right=f"states ({len(x)}, {self._state.size})")
        kept = self.state()
        out, made = np.full((len(x), self.program.outputs), np.nan, np.float32), np.zeros(len(x), bool)
        try:
            for i, state in enumerate(states):
                self.restore(state)
                y = self.step(x[i])
                if y is not None:
                    out[i], made[i] = y, True
                states[i] = self._state
        finally:
            self._state[:] = kept
        return out, made

    def _counters_fit(self, state: Floats) -> bool:
        """Whether counters and places in rings, which the engine follows without looking, are in their ranges."""
        for begin, below in self.program.counters():
            value = float(state[begin])
            if value != int(value) or not 0 <= value < below:
                return False
        return True


class _Arguments(ctypes.Structure):
    """``EngineArguments`` of ``native/arguments.hpp``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("operations", "weights", "state", "values", "x", "out", "made")),
        *((name, ctypes.c_int64) for name in ("count", "steps", "inputs", "outputs", "result")),
    )


class _Native:
    """The program in C++, with the buffers that it works in."""

    def __init__(self, program: Program, state: Floats, instructions: str) -> None:
        self._call: Any = library().knuckle_engine_run
        self._set = instruction_set(instructions)
        self._x, self._out = np.zeros(program.inputs, np.float32), np.zeros(program.outputs, np.float32)
        self._made = np.zeros(1, np.int32)
        self._weights, self._values = _aligned(program.weights.size), _aligned(program.values)
        self._weights[:] = program.weights
        self._operations, self._state = np.ascontiguousarray(program.operations), state
        held = (self._operations, self._weights, state, self._values, self._x, self._out, self._made)
        sizes = (len(self._operations), 1, program.inputs, program.outputs, program.result)
        self._one = _Arguments(*(array.ctypes.data for array in held), *sizes)
        self._reference = ctypes.byref(self._one)

    def step(self, x: Floats) -> Floats | None:
        """One sample."""
        self._x[:] = x
        self._call(self._set, self._reference)
        return self._out.copy() if self._made[0] else None

    def run(self, x: Floats, out: Floats) -> NDArray[np.bool_]:
        """Samples in turn, into ``out``; which of them brought an output."""
        x = np.ascontiguousarray(x, np.float32)
        made = np.zeros(len(x), np.int32)
        one = _Arguments.from_buffer_copy(self._one)
        one.x, one.out, one.made, one.steps = x.ctypes.data, out.ctypes.data, made.ctypes.data, len(x)
        if self._call(self._set, ctypes.byref(one)):
            raise RunError("the kernels do not know this instruction set", where="streaming engine")
        return made.astype(bool)


def _aligned(size: int) -> Floats:
    """Zeros that begin at a multiple of 64 bytes: no vector then lies across two cache lines."""
    room = np.zeros(size + 16, np.float32)
    skip = -room.ctypes.data % 64 // 4
    return room[skip : skip + size]
