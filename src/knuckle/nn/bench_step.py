"""One sample of four Mamba layers: the streaming engine beside torch's own step and beside onnxruntime.

The rival's graph is exported from the same stack: one step, states as inputs and outputs, every optimisation on, one
thread. It runs both through plain calls and with its inputs and outputs bound, where states are never copied: the
faster of the two counts.
"""

from __future__ import annotations

import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from knuckle.core.errors import RunError
from knuckle.nn.bench import Costs
from knuckle.nn.engine import StreamingEngine
from knuckle.nn.engine.compile import compile_stack
from knuckle.nn.stack import Stack, make_stack
from knuckle.nn.state import leaves

WIDTH, LAYERS = 128, 4
TOLERANCE = 1e-5

Floats = NDArray[np.float32]


def measure_step(steps: int, repeats: int, seed: int, instructions: str, said: Callable[[str], None]) -> Costs:
    """Costs of a step by "engine", "numpy", "eager", "onnxruntime" and "onnxruntime_bound".

    Raises RunError where they do not all give the same.
    """
    torch.manual_seed(seed)
    stack = make_stack("mamba", WIDTH, LAYERS).eval()
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps, WIDTH)).astype(np.float32)
    program, graph = compile_stack(stack), export_step(stack)
    engine = StreamingEngine(program, backend="cpp", instructions=instructions)
    in_numpy = StreamingEngine(program, backend="numpy")
    runs: dict[str, Callable[[], Iterator[Floats]]] = {
        "engine": lambda: _engine(engine, x),
        "numpy": lambda: _engine(in_numpy, x),
        "eager": lambda: _eager(stack, x),
        "onnxruntime": lambda: _plain(graph, stack, x),
        "onnxruntime_bound": lambda: _bound(graph, stack, x),
    }
    want = np.stack(list(runs["eager"]()))
    for name, run in runs.items():
        error = float(np.abs(np.stack(list(run())) - want).max())
        if not error < TOLERANCE:
            raise RunError(f"{name} differs from torch by {error:.1e}", where="bench ssm", right=f"{TOLERANCE:g}")
    contenders: dict[str, tuple[Callable[[], object], int]] = {
        name: (functools.partial(_exhaust, run), steps) for name, run in runs.items()
    }
    costs = Costs()
    for k in range(repeats):
        costs.repeat(contenders)
        said(f"step, repeat {k + 1} of {repeats}: {costs.seconds['engine'][-1] * 1e6:.1f} us")
    return costs


def _exhaust(run: Callable[[], Iterator[Floats]]) -> None:
    for _ in run():
        pass


def export_step(stack: Stack) -> Any:
    """An onnxruntime session of one step of ``stack``: x and states to y and the states after it."""
    import onnxruntime

    class Step(nn.Module):
        """Flat inputs and outputs, as ONNX has them."""

        def __init__(self) -> None:
            super().__init__()
            self.stack = stack

        def forward(self, x: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
            parts = iter(flat)
            kinds = [type(state) for state in stack.initial_state()]
            given = tuple(kind(*(next(parts) for _ in kind._fields)) for kind in kinds)
            y, after = stack.step(x, given)
            return (y, *(tensor for _, tensor in leaves(after)))

    names = [name for name, _ in leaves(stack.initial_state())]
    given = (torch.zeros(1, stack.width), *(tensor for _, tensor in leaves(stack.initial_state())))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own notes on how it traces
        file = Path(folder) / "step.onnx"
        outputs = ["y", *(f"{name}.after" for name in names)]
        torch.onnx.export(Step().eval(), given, file, input_names=["x", *names], output_names=outputs, dynamo=False)
        graph = file.read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _engine(engine: StreamingEngine, x: Floats) -> Iterator[Floats]:
    engine.reset()
    for sample in x:
        y = engine.step(sample)
        assert y is not None
        yield y


def _eager(stack: Stack, x: Floats) -> Iterator[Floats]:
    state = stack.initial_state()
    with torch.inference_mode():
        for sample in torch.from_numpy(x)[:, None]:
            y, state = stack.step(sample, state)
            yield y[0].numpy()


def _zeros(stack: Stack) -> dict[str, Floats]:
    return {name: np.zeros(tensor.shape, np.float32) for name, tensor in leaves(stack.initial_state())}


def _plain(session: Any, stack: Stack, x: Floats) -> Iterator[Floats]:
    state = _zeros(stack)
    for sample in x[:, None]:
        y, *after = session.run(None, {"x": sample, **state})
        state = dict(zip(state, after, strict=True))
        yield y[0]


def _bound(session: Any, stack: Stack, x: Floats) -> Iterator[Floats]:
    """Two bindings in turn, each of which writes its states where the other one reads."""
    import onnxruntime

    def value(array: Floats) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)

    sample, y = value(np.zeros((1, stack.width), np.float32)), value(np.zeros((1, stack.width), np.float32))
    sides = [{name: value(array) for name, array in _zeros(stack).items()} for _ in range(2)]
    bindings = []
    for before, after in (sides, sides[::-1]):
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", sample)
        binding.bind_ortvalue_output("y", y)
        for name in before:
            binding.bind_ortvalue_input(name, before[name])
            binding.bind_ortvalue_output(f"{name}.after", after[name])
        bindings.append(binding)
    for t, row in enumerate(x[:, None]):
        sample.update_inplace(row)
        session.run_with_iobinding(bindings[t % 2])
        yield y.numpy()[0].copy()
