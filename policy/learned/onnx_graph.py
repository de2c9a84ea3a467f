"""An actor as an ONNX file: normaliser, linear layers with ELU between, actions cut to -1 to 1. Needs extra ``learn``.

Written node by node, so that neither torch's exporter nor what it depends on is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

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


def actor_graph(normaliser: Normaliser, layers: Sequence[tuple[Array, Array]]) -> bytes:
    """The file's bytes: observations (n, width) to actions (n, dof), float32.

    ``layers`` are weight (out, in) and bias (out,) of each linear layer, the first one first.
    """
    nodes, constants = [], dict[str, Array]()

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    constants |= {"mean": normaliser.mean, "std": normaliser.std}
    constants |= {"low": np.array(-normaliser.clip), "high": np.array(normaliser.clip)}
    constants |= {"least": np.array(-1.0), "most": np.array(1.0)}
    at = add("Sub", [INPUT, "mean"], "centred")
    at = add("Div", [at, "std"], "scaled")
    at = add("Clip", [at, "low", "high"], "normalised")
    for k, (weight, bias) in enumerate(layers):
        constants |= {f"weight_{k}": weight, f"bias_{k}": bias}
        at = add("Gemm", [at, f"weight_{k}", f"bias_{k}"], f"linear_{k}", transB=1)
        if k < len(layers) - 1:
            at = add("Elu", [at], f"elu_{k}", alpha=1.0)
    add("Clip", [at, "least", "most"], OUTPUT)
    width, dof = layers[0][0].shape[1], layers[-1][0].shape[0]
    graph = helper.make_graph(
        nodes,
        "actor",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", dof])],
        [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="knuckle")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
