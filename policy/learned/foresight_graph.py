"""The network that foretells what a chunk does to the object, in numpy and as an ONNX file. The file needs ``learn``.

The same layers read each finger along its own axes, hear its two neighbours twice, and say along the same axes what
the finger does to the object; turned to the world's axes, the sum of that is how the object moves. So a scene that is
turned with the hand moves alike, whichever finger is called the first. What does not depend on the chunk is computed
once. Weights are numbers of half precision, so the file is half as large; what is computed with them is single.

    h_f = elu(W elu(A finger_f + C chunk_f)),  h_f += V elu(U [h_f, h_next, h_previous])  twice,
    moved = sum_f R_f P elu(Q elu(h_f))

With a mirror the scene is foretold as it is and in the mirror, and what is said is the mean: two for one network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.learned.contact_features import FingerFrames
from knuckle.policy.learned.mirrored import Mirror

FINGERS, CHUNKS, MOVED = "fingers", "chunks", "moved"
ROUNDS = 2
CLIP = 8.0
"""Normalised numbers are cut to this on either side."""
LAYERS = ("second", *(f"{name}_{k}" for k in range(ROUNDS) for name in ("hears", "answers")), "third", "last")
"""Linear layers by name, after the first, which has two weights, for finger and chunk, and one bias."""


@dataclass(frozen=True)
class ForesightWeights:
    """What was learned: ``arrays`` by name (`array_names`), weights in half precision's numbers.

    It is for chunks told of at the steps ``looked_at``; ``moved`` is ``steps`` turns from the beginning (rotation
    vectors, rad) and the last step's shift (m), world frame. ``frames`` are the axes of the hand's fingers; ``mirror``,
    if there is one, is the hand's.
    """

    arrays: Mapping[str, Array]
    looked_at: tuple[int, ...]
    steps: int
    frames: FingerFrames
    mirror: Mirror | None = None

    @property
    def width(self) -> int:
        """How many numbers are foretold."""
        return 3 * self.steps + 3

    def moved(self, fingers: NDArray[Any], chunks: NDArray[Any]) -> Array:
        """What is foretold (..., n, width) of ``chunks`` (..., n, G, F) with ``fingers`` (..., G, F'): what the
        file says, in numpy and single precision."""
        said = self._said(fingers, chunks)
        if self.mirror is None:
            return said
        return np.asarray((said + self._said(*self.mirror.seen(fingers, chunks)) @ self.mirror.moved) / 2.0)

    def _said(self, fingers: NDArray[Any], chunks: NDArray[Any]) -> Array:
        at = {name: np.asarray(value, dtype=np.float32) for name, value in self.arrays.items()}

        def linear(name: str, rows: NDArray[Any]) -> NDArray[Any]:
            return rows @ at[f"{name}_weight"].T + at[f"{name}_bias"]

        def scaled(name: str, rows: NDArray[Any]) -> NDArray[Any]:
            given = np.asarray(rows, dtype=np.float32)
            return np.asarray(np.clip((given - at[f"{name}_mean"]) / at[f"{name}_std"], -CLIP, CLIP))

        seen = scaled(FINGERS, fingers) @ at["first_fingers"].T + at["first_bias"]
        h = _elu(linear("second", _elu(seen[..., None, :, :] + scaled(CHUNKS, chunks) @ at["first_chunks"].T)))
        for k in range(ROUNDS):
            heard = np.concatenate([h, h[..., self.frames.next, :], h[..., self.frames.previous, :]], axis=-1)
            h = h + linear(f"answers_{k}", _elu(linear(f"hears_{k}", heard)))
        said = linear("last", _elu(linear("third", _elu(h))))
        whole = said.reshape(*said.shape[:-2], -1) @ to_world(self.frames, self.steps + 1).astype(np.float32)
        return np.asarray(whole * at["moved_std"], dtype=np.float64)


def to_world(frames: FingerFrames, vectors: int) -> Array:
    """The matrix (G * 3v, 3v) that brings v = ``vectors`` of each finger, along its own axes, to the world's and adds
    them up."""
    blocks = [np.kron(np.eye(vectors), matrix.T) for matrix in frames.matrices]
    return np.concatenate(blocks, axis=0)


def array_names() -> tuple[str, ...]:
    """The names of all arrays of `ForesightWeights`."""
    scales = tuple(f"{part}_{what}" for part in (FINGERS, CHUNKS) for what in ("mean", "std"))
    layers = tuple(f"{name}_{what}" for name in LAYERS for what in ("weight", "bias"))
    return (*scales, "moved_std", f"first_{FINGERS}", f"first_{CHUNKS}", "first_bias", *layers)


def foresight_graph(weights: ForesightWeights) -> bytes:
    """The file's bytes: fingers (G, F') and chunks (n, G, F) to moved (n, width), float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from knuckle.policy.learned.onnx_graph import IR_VERSION, OPSET

    graph = _Nodes(weights)
    graph.foretell(FINGERS, CHUNKS, "")
    if weights.mirror is None:
        graph.add("Identity", ["foretold"], MOVED)
    else:
        graph.foretell_mirrored(weights.mirror)
    first = {part: np.shape(weights.arrays[f"first_{part}"])[1] for part in (FINGERS, CHUNKS)}
    n = len(weights.frames.next)
    shapes = {FINGERS: [n, first[FINGERS]], CHUNKS: ["n", n, first[CHUNKS]]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    output = helper.make_tensor_value_info(MOVED, TensorProto.FLOAT, ["n", weights.width])
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in graph.constants.items()]
    whole = helper.make_graph(graph.nodes, "foresight", inputs, [output], held)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="knuckle")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


class _Nodes:
    """The nodes and constants of a file of ``weights``."""

    def __init__(self, weights: ForesightWeights) -> None:
        from onnx import TensorProto

        frames = weights.frames
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {"high": np.float32(CLIP), "low": np.float32(-CLIP)}
        self.constants |= {name: np.asarray(getattr(frames, name), dtype=np.int64) for name in ("next", "previous")}
        self.constants |= {"to_world": to_world(frames, weights.steps + 1).astype(np.float32)}
        self.constants |= {"all_fingers": np.array([-1, len(frames.next) * weights.width], dtype=np.int64)}
        for name, value in weights.arrays.items():
            if np.ndim(value) == 2:
                self.constants[f"{name}_half"] = np.asarray(value, dtype=np.float16).T
                self.add("Cast", [f"{name}_half"], name, to=TensorProto.FLOAT)
            else:
                self.constants[name] = np.asarray(value, dtype=np.float32)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """One node; the name of what it gives."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def foretell(self, fingers: str, chunks: str, tag: str) -> str:
        """The network on ``fingers`` and ``chunks``; what it gives is ``foretold`` with ``tag``."""
        add, linear = self.add, self._linear
        seen = add("Add", [self._read(fingers, FINGERS, tag), "first_bias"], f"state_seen{tag}")
        h = add("Elu", [add("Add", [self._read(chunks, CHUNKS, tag), seen], f"first{tag}")], f"first_elu{tag}")
        h = add("Elu", [linear("second", h, tag)], f"second_elu{tag}")
        for k in range(ROUNDS):
            beside = [add("Gather", [h, name], f"{name}_{k}{tag}", axis=1) for name in ("next", "previous")]
            heard = add("Concat", [h, *beside], f"heard_{k}{tag}", axis=2)
            more = linear(f"answers_{k}", add("Elu", [linear(f"hears_{k}", heard, tag)], f"hears_elu_{k}{tag}"), tag)
            h = add("Add", [h, more], f"round_{k}{tag}")
        third = add("Elu", [linear("third", add("Elu", [h], f"each_elu{tag}"), tag)], f"third_elu{tag}")
        by_all = add("Reshape", [linear("last", third, tag), "all_fingers"], f"said_by_all{tag}")
        whole = add("MatMul", [by_all, "to_world"], f"of_all{tag}")
        return add("Mul", [whole, "moved_std"], f"foretold{tag}")

    def foretell_mirrored(self, mirror: Mirror) -> None:
        """The network in the mirror as well, and the mean of both."""
        held = {"places": mirror.places.astype(np.int64), "half": np.float32(0.5)}
        signs = {
            "finger_sign": mirror.finger_sign,
            "finger_shift": mirror.finger_shift,
            "chunk_sign": mirror.chunk_sign,
        }
        self.constants |= held | {name: np.float32(part) for name, part in (signs | {"back": mirror.moved}).items()}
        add = self.add
        fingers = add(
            "Mul", [add("Gather", [FINGERS, "places"], "fingers_there", axis=0), "finger_sign"], "fingers_turned"
        )
        fingers = add("Add", [fingers, "finger_shift"], "fingers_mirrored")
        chunks = add(
            "Mul", [add("Gather", [CHUNKS, "places"], "chunks_there", axis=1), "chunk_sign"], "chunks_mirrored"
        )
        other = add("MatMul", [self.foretell(fingers, chunks, "_mirrored"), "back"], "mirrored_back")
        add("Mul", [add("Add", ["foretold", other], "both"), "half"], MOVED)

    def _linear(self, name: str, at: str, tag: str) -> str:
        on = self.add("MatMul", [at, f"{name}_weight"], f"{name}_on{tag}")
        return self.add("Add", [on, f"{name}_bias"], f"{name}_of{tag}")

    def _read(self, given: str, part: str, tag: str) -> str:
        centred = self.add("Sub", [given, f"{part}_mean"], f"{part}_centred{tag}")
        at = self.add("Div", [centred, f"{part}_std"], f"{part}_scaled{tag}")
        at = self.add("Clip", [at, "low", "high"], f"{part}_normalised{tag}")
        return self.add("MatMul", [at, f"first_{part}"], f"{part}_read{tag}")


def _elu(rows: NDArray[Any]) -> NDArray[Any]:
    return np.where(rows > 0.0, rows, np.expm1(np.minimum(rows, 0.0)))
