"""An actor as an ONNX file: normaliser, linear layers with ELU between, actions cut to -1 to 1. Needs extra ``learn``.

Written node by node, so that neither torch's exporter nor what it depends on is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from knuckle.sim.reorient.hand_symmetry import UPRIGHTED, HandSymmetry

Array = NDArray[np.float64]

OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT = "observation", "action"


@dataclass(frozen=True)
class Normaliser:
    """Observations (..., width) less ``mean`` (width,), over ``std`` (width,), cut to ``clip`` on either side."""

    mean: Array
    std: Array
    clip: float

    def __call__(self, observation: Array) -> Array:
        """The same in numpy."""
        return np.asarray(np.clip((observation - self.mean) / self.std, -self.clip, self.clip))


def actor_graph(
    normaliser: Normaliser, layers: Sequence[tuple[Array, Array]], symmetry: HandSymmetry | None = None
) -> bytes:
    """The file's bytes: observations (n, width) to actions (n, dof), float32.

    ``layers`` are weight (out, in) and bias (out,) of each linear layer, the first one first; with a ``symmetry`` they
    read every turn of the observation and say what the finger in the first place does.
    """
    nodes, constants = [], dict[str, NDArray[Any]]()

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    constants |= {"mean": normaliser.mean, "std": normaliser.std}
    constants |= {"low": np.array(-normaliser.clip), "high": np.array(normaliser.clip)}
    constants |= {"least": np.array(-1.0), "most": np.array(1.0)}
    at = INPUT if symmetry is None else turned(symmetry, add, constants)
    at = add("Sub", [at, "mean"], "centred")
    at = add("Div", [at, "std"], "scaled")
    at = add("Clip", [at, "low", "high"], "normalised")
    for k, (weight, bias) in enumerate(layers):
        constants |= {f"weight_{k}": weight, f"bias_{k}": bias}
        at = add("Gemm", [at, f"weight_{k}", f"bias_{k}"], f"linear_{k}", transB=1)
        if k < len(layers) - 1:
            at = add("Elu", [at], f"elu_{k}", alpha=1.0)
    if symmetry is not None:
        at = _gathered(symmetry, at, add, constants)
    add("Clip", [at, "least", "most"], OUTPUT)
    width, dof = layers[0][0].shape[1], layers[-1][0].shape[0] * (symmetry.order if symmetry else 1)
    return network_file(nodes, "actor", {INPUT: width}, {OUTPUT: dof}, constants)


def network_file(
    nodes: list[Any], name: str, inputs: Mapping[str, int], outputs: Mapping[str, int], constants: Mapping[str, Any]
) -> bytes:
    """The checked ONNX file of ``nodes``: rows of floats, so wide as ``inputs`` and ``outputs`` say, and constants."""

    def rows(widths: Mapping[str, int]) -> list[Any]:
        return [helper.make_tensor_value_info(port, TensorProto.FLOAT, ["n", width]) for port, width in widths.items()]

    held = [numpy_helper.from_array(stored(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, name, rows(inputs), rows(outputs), held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="knuckle")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def turned(symmetry: HandSymmetry, add: Callable[..., str], constants: dict[str, NDArray[Any]]) -> str:
    """Every turn of the input as rows of their own, (n * order, width): `HandSymmetry.copies`."""
    width = symmetry.build.width
    constants |= {"turns": symmetry.maps.reshape(-1, width).T, "one": np.array(1.0), "minus_one": np.array(-1.0)}
    constants |= {"zero": np.array(0.0), "rows": np.array([-1, width], dtype=np.int64)}
    at = add("MatMul", [INPUT, "turns"], "every_turn")
    at = add("Reshape", [at, "rows"], "turn_rows")
    for part in UPRIGHTED:
        where = symmetry.build.slices[part]
        mask = np.zeros(width)
        mask[where] = 1.0
        constants |= {f"{part}_w": np.array([where.start], dtype=np.int64), f"{part}_mask": mask}
        w = add("Gather", [at, f"{part}_w"], f"{part}_first", axis=1)
        below = add("Less", [w, "zero"], f"{part}_below")
        sign = add("Where", [below, "minus_one", "one"], f"{part}_sign")
        less_one = add("Sub", [sign, "one"], f"{part}_sign_less_one")
        there = add("Mul", [less_one, f"{part}_mask"], f"{part}_there")
        factor = add("Add", [there, "one"], f"{part}_factor")
        at = add("Mul", [at, factor], f"{part}_upright")
    return at


def _gathered(symmetry: HandSymmetry, at: str, add: Callable[..., str], constants: dict[str, NDArray[Any]]) -> str:
    """Rows of what the first finger does in each turn as the actions of all joints."""
    turn_of = np.argsort(symmetry.finger_of())
    places = (turn_of[:, None] * symmetry.joints + np.arange(symmetry.joints)).reshape(-1)
    constants |= {"all_joints": np.array([-1, symmetry.hand.dof], dtype=np.int64), "places": places.astype(np.int64)}
    return add("Gather", [add("Reshape", [at, "all_joints"], "of_all"), "places"], "by_joint", axis=1)


def stored(value: NDArray[Any]) -> NDArray[Any]:
    """As the file holds it: places as they are, numbers in single precision."""
    return value if value.dtype == np.int64 else np.asarray(value, dtype=np.float32)
