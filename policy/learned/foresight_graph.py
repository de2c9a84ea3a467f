"""The network that foretells what a chunk does to the object, in numpy and as an ONNX file. The file needs ``learn``.

Each finger is read by the same layers, hears the sum of what the others are, twice, and their sum says how the object
moves: who is called finger 1 changes nothing. What does not depend on the chunk is computed once for all chunks.

    h_f = elu(W elu(A finger_f + B scene + C chunk_f)),  h_f += V elu(U [h_f, sum_g!=f h_g])  twice,
    moved = P elu(Q sum_f elu(h_f))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array

FINGERS, SCENE, CHUNKS, MOVED = "fingers", "scene", "chunks", "moved"
ROUNDS = 2
CLIP = 8.0
"""Normalised numbers are cut to this on either side."""
LAYERS = ("first", "second", *(f"{name}_{k}" for k in range(ROUNDS) for name in ("hears", "answers")), "sum", "last")
"""Linear layers by name; ``first`` has three weights, for finger, scene and chunk, and no bias but the finger's."""


@dataclass(frozen=True)
class ForesightWeights:
    """What was learned: ``arrays`` by name (`array_names`), for chunks told of at the steps ``looked_at``; ``moved``
    is ``steps`` turns (rotation vectors, rad) and the last step's shift (m), in the object's frame at the beginning."""

    arrays: Mapping[str, Array]
    looked_at: tuple[int, ...]
    steps: int

    @property
    def width(self) -> int:
        """How many numbers are foretold."""
        return 3 * self.steps + 3

    def moved(self, fingers: Array, scene: Array, chunks: Array) -> Array:
        """What is foretold (n, width) of ``chunks`` (n, G, F) with ``fingers`` (G, F') in ``scene`` (K,): what the
        file says, in numpy and single precision."""
        at = {name: np.asarray(value, dtype=np.float32) for name, value in self.arrays.items()}

        def linear(name: str, rows: NDArray[Any]) -> NDArray[Any]:
            return rows @ at[f"{name}_weight"].T + at[f"{name}_bias"]

        def scaled(name: str, rows: Array) -> NDArray[Any]:
            rows = np.asarray(rows, dtype=np.float32)
            return np.clip((rows - at[f"{name}_mean"]) / at[f"{name}_std"], -CLIP, CLIP)

        seen = scaled(FINGERS, fingers) @ at["first_fingers"].T + scaled(SCENE, scene) @ at["first_scene"].T
        h = _elu(seen + at["first_bias"] + scaled(CHUNKS, chunks) @ at["first_chunks"].T)
        h = _elu(linear("second", h))
        for k in range(ROUNDS):
            others = h.sum(axis=-2, keepdims=True) - h
            h = h + linear(f"answers_{k}", _elu(linear(f"hears_{k}", np.concatenate([h, others], axis=-1))))
        return np.asarray(linear("last", _elu(linear("sum", _elu(h).sum(axis=-2)))) * at["moved_std"], dtype=np.float64)


def array_names() -> tuple[str, ...]:
    """The names of all arrays of `ForesightWeights`."""
    scales = tuple(f"{part}_{what}" for part in (FINGERS, SCENE, CHUNKS) for what in ("mean", "std"))
    layers = tuple(f"{name}_{what}" for name in LAYERS[1:] for what in ("weight", "bias"))
    return (*scales, "moved_std", *(f"first_{part}" for part in (FINGERS, SCENE, CHUNKS)), "first_bias", *layers)


def foresight_graph(weights: ForesightWeights) -> bytes:
    """The file's bytes: fingers (G, F'), scene (1, K) and chunks (n, G, F) to moved (n, width), float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from knuckle.policy.learned.onnx_graph import IR_VERSION, OPSET

    nodes: list[Any] = []
    constants: dict[str, Any] = {"high": np.float32(CLIP), "low": np.float32(-CLIP), "over_fingers": np.array([1])}
    for name, value in weights.arrays.items():
        value = np.asarray(value, dtype=np.float32)
        constants[name] = value.T if value.ndim == 2 else value

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def linear(name: str, at: str) -> str:
        return add("Add", [add("MatMul", [at, f"{name}_weight"], f"{name}_on"), f"{name}_bias"], name)

    def read(part: str) -> str:
        at = add("Div", [add("Sub", [part, f"{part}_mean"], f"{part}_centred"), f"{part}_std"], f"{part}_scaled")
        at = add("Clip", [at, "low", "high"], f"{part}_normalised")
        return add("MatMul", [at, f"first_{part}"], f"{part}_read")

    seen = add("Add", [read(FINGERS), read(SCENE)], "state_read")
    seen = add("Add", [seen, "first_bias"], "state_seen")
    h = add("Elu", [add("Add", [read(CHUNKS), seen], "first")], "first_elu")
    h = add("Elu", [linear("second", h)], "second_elu")
    for k in range(ROUNDS):
        whole = add("ReduceSum", [h, "over_fingers"], f"whole_{k}", keepdims=1)
        both = add("Concat", [h, add("Sub", [whole, h], f"others_{k}")], f"heard_{k}", axis=2)
        more = linear(f"answers_{k}", add("Elu", [linear(f"hears_{k}", both)], f"hears_elu_{k}"))
        h = add("Add", [h, more], f"round_{k}")
    whole = add("ReduceSum", [add("Elu", [h], "each_elu"), "over_fingers"], "of_all", keepdims=0)
    add("Mul", [linear("last", add("Elu", [linear("sum", whole)], "sum_elu")), "moved_std"], MOVED)
    first = {part: np.shape(weights.arrays[f"first_{part}"])[1] for part in (FINGERS, SCENE, CHUNKS)}
    shapes = {FINGERS: ["fingers", first[FINGERS]], SCENE: [1, first[SCENE]]}
    shapes[CHUNKS] = ["n", "fingers", first[CHUNKS]]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    output = helper.make_tensor_value_info(MOVED, TensorProto.FLOAT, ["n", weights.width])
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "foresight", inputs, [output], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="knuckle")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _elu(rows: NDArray[Any]) -> NDArray[Any]:
    return np.where(rows > 0.0, rows, np.expm1(np.minimum(rows, 0.0)))
