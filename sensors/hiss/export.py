"""A trained network as files that need no torch, each held against the network that was trained before it is kept.

Programs of `knuckle.nn.engine`, plain and staggered, are what a stream runs. Beside them ONNX for other runtimes: each
level as one step, ``x`` and the states ``s0``, ``s1``, ... in, ``y`` and the states ``n0``, ``n1``, ... out, any batch;
states begin at zero, the low level's at every chunk.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knuckle.core.cards import file_sha256
from knuckle.core.errors import InputError, RunError
from knuckle.nn.engine import Program, StreamingEngine
from knuckle.nn.engine.compile import compile_hierarchy, compile_stack
from knuckle.nn.state import leaves
from knuckle.sensors.hiss.model import Flat, Hiss, Level
from knuckle.sensors.hiss.model_card import HIGH, LOW, PROGRAM, STAGGERED
from knuckle.sensors.hiss.trial import CHUNK

Array = NDArray[np.float32]
TOLERANCE = 1e-4
"""How far an output may be from the trained network's, of the largest or of 1; everything is float32."""
OPSET = 17
LONGEST = 60
"""Chunks over which files are held against the network."""


def export(folder: Path, network: Hiss | Flat, features: Array) -> tuple[dict[str, str], dict[str, float]]:
    """Write the files of ``network``; their sha256, and how far each was from it on real ``features`` (L, F).

    RunError where one differs or cannot be written.
    """
    network.eval()
    length = min(len(features) // CHUNK, LONGEST) * CHUNK
    features = features[:length]
    with torch.no_grad():
        wanted = network(torch.from_numpy(features)[None])[0].numpy()
    shas, parity = {}, {}
    for name, program in _programs(network).items():
        found = _streamed(program, features, staggered=name == STAGGERED)
        parity[name] = _require_near(found, wanted, folder / name)
        program.save(folder / name)
        shas[name] = file_sha256(folder / name)
    levels = {LOW: network.low} | ({HIGH: network.high} if isinstance(network, Hiss) else {})
    for name, level in levels.items():
        _write_step(folder / name, level)
        shas[name] = file_sha256(folder / name)
    parity["onnx"] = _require_near(_stepped(folder, features, len(levels)), wanted, folder / LOW)
    return shas, parity


def _programs(network: Hiss | Flat) -> dict[str, Program]:
    if isinstance(network, Flat):
        return {PROGRAM: compile_stack(network.low.blocks, embed=network.low.embed, decode=network.low.decode)}
    return {
        name: compile_hierarchy(network.low, network.high, CHUNK, staggered=name == STAGGERED)
        for name in (PROGRAM, STAGGERED)
    }


def _streamed(program: Program, features: Array, *, staggered: bool) -> Array:
    """What a program gives at the end of each chunk."""
    out, made = StreamingEngine(program).run(features)
    rows: Array = out[CHUNK - 1 :: CHUNK]
    if staggered and not made[CHUNK - 1 :].all():
        raise RunError("the staggered program has no output at some samples", where=STAGGERED)
    return rows


class _Step(nn.Module):
    """One step of a level with its state as flat arguments, as an ONNX graph has them."""

    def __init__(self, level: Level, rebuild: Callable[[list[torch.Tensor]], Any]) -> None:
        super().__init__()
        self.level, self.rebuild = level, rebuild

    def forward(self, x: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y, after = self.level.step(x, self.rebuild(list(state)))
        return (y, *(tensor for _, tensor in leaves(after)))


def _write_step(path: Path, level: Level) -> None:
    """The level's step at ``path``, under another name until it is whole."""
    template = level.initial_state(2)
    state = [tensor for _, tensor in leaves(template)]
    names = ["x", *(f"s{k}" for k in range(len(state)))]
    after = ["y", *(f"n{k}" for k in range(len(state)))]
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with warnings.catch_warnings():
            # The exporter that traces needs nothing but torch and onnx; it says that it is no longer the default, and
            # that checks of shapes are not part of the graph, as is meant.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Step(level, lambda tensors: _rebuilt(template, iter(tensors))).eval(),
                (torch.zeros(2, level.embed.in_features), *state),
                str(partial),
                input_names=names,
                output_names=after,
                dynamic_axes={name: {0: "batch"} for name in (*names, *after)},
                opset_version=OPSET,
                dynamo=False,
            )
        partial.replace(path)
    except torch.onnx.errors.OnnxExporterError as error:
        what = f"a layer is not in ONNX ({str(error).splitlines()[0][:120]})"
        raise InputError(what, where=path.name, right="another family, or a mended layer") from error
    except OSError as error:
        what = f"the network cannot be written ({error.strerror})"
        raise RunError(what, where=str(path), right="room in a folder of yours") from error
    finally:
        partial.unlink(missing_ok=True)


def _rebuilt(template: Any, tensors: Any) -> Any:
    """``tensors`` in the form of ``template``: named tuples, tuples, tensors."""
    if isinstance(template, torch.Tensor):
        return next(tensors)
    parts = [_rebuilt(part, tensors) for part in template]
    return type(template)(*parts) if hasattr(template, "_fields") else tuple(parts)


def _stepped(folder: Path, features: Array, levels: int) -> Array:
    """The outputs at the ends of chunks, by the ONNX files alone."""
    low = OnnxStep(folder / LOW)
    high = OnnxStep(folder / HIGH) if levels == 2 else None
    rows = []
    for k, sample in enumerate(features):
        if k % CHUNK == 0 and high is not None:
            low.reset()
        y = low(sample[None])
        if k % CHUNK == CHUNK - 1:
            rows.append(high(y)[0] if high is not None else y[0])
    return np.array(rows)


class OnnxStep:
    """A level's ONNX file, run with its state carried along, batch 1, one thread."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = self._session.get_inputs()
        self.reset()

    def reset(self) -> None:
        """Back to the state before any sample."""
        kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}
        self._state = [np.zeros((1, *i.shape[1:]), dtype=kinds[i.type]) for i in self._inputs[1:]]

    def __call__(self, x: Array) -> Array:
        """(1, inputs) to (1, outputs)."""
        values = [x, *self._state]
        y, *self._state = self._session.run(None, {i.name: v for i, v in zip(self._inputs, values, strict=True)})
        return np.asarray(y, dtype=np.float32)


def _require_near(found: Array, wanted: Array, path: Path) -> float:
    apart = float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))
    if not apart <= TOLERANCE:
        what = f"the exported network's outputs differ by {apart:.2g}"
        raise RunError(what, where=str(path), right=f"{TOLERANCE:g} at most")
    return apart
