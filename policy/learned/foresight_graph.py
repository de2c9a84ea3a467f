"""The network that foretells what a chunk does to the object, in numpy and as an ONNX file. The file needs ``learn``.

The same layers read each finger along its own axes, hear its two neighbours twice, and say along the same axes what
the finger does to the object; turned to the world's axes, the sum of that is how the object moves. So a scene that is
turned with the hand moves alike, whichever finger is called the first. What does not depend on the chunk is computed
once. Weights are numbers of half precision, so the file is half as large; what is computed with them is single.

With ``ranges`` the layers between the first and the last multiply whole numbers instead (Jacob et al. 2018, arXiv
1712.05877): what they read eight bits of its range, weights seven of each row's largest, so that no sum of two products
is more than sixteen bits hold, which is what older processors add in. That takes a third less time.

    h_f = elu(W elu(A finger_f + C chunk_f)),  h_f += V elu(U [h_f, h_next, h_previous])  twice,
    moved = sum_f R_f P elu(Q elu(h_f))

With a mirror the scene is foretold as it is and in the mirror, and what is said is the mean: two for one network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.learned.contact_features import FingerFrames
from knuckle.policy.learned.mirrored import Mirror
from knuckle.policy.learned.quick_elu import quick_elu

FINGERS, CHUNKS, MOVED = "fingers", "chunks", "moved"
ROUNDS = 2
CLIP = 8.0
"""Normalised numbers are cut to this on either side."""
LAYERS = ("second", *(f"{name}_{k}" for k in range(ROUNDS) for name in ("hears", "answers")), "third", "last")
"""Linear layers by name, after the first, which has two weights, for finger and chunk, and one bias."""
WHOLE = LAYERS[:-1]
"""Those that may multiply whole numbers."""
READ_STEPS, WEIGHT_STEPS, MARGIN = 255, 63, 1.25
SINGLE = 1
"""ONNX's number for float32."""


@dataclass(frozen=True)
class ForesightWeights:
    """What was learned: ``arrays`` by name (`array_names`), weights in half precision's numbers.

    It is for chunks told of at the steps ``looked_at``; ``moved`` is ``steps`` turns from the beginning (rotation
    vectors, rad) and the last step's shift (m), world frame. ``frames`` are the axes of the hand's fingers; ``mirror``,
    if there is one, is the hand's. ``ranges`` of what the layers `WHOLE` read, by name, are there where those multiply
    whole numbers.
    """

    arrays: Mapping[str, Array]
    looked_at: tuple[int, ...]
    steps: int
    frames: FingerFrames
    mirror: Mirror | None = None
    ranges: Mapping[str, tuple[float, float]] | None = None

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

    def in_whole_numbers(self, fingers: NDArray[Any], chunks: NDArray[Any]) -> ForesightWeights:
        """The same weights with ranges in which they read these ``fingers`` and ``chunks``, and a quarter more."""
        found: dict[str, tuple[float, float]] = {}

        def note(name: str, rows: NDArray[Any]) -> None:
            low, high = found.get(name, (0.0, 0.0))
            found[name] = (min(low, MARGIN * float(rows.min())), max(high, MARGIN * float(rows.max())))

        single = replace(self, ranges=None)
        for seen in [(fingers, chunks)] + ([] if self.mirror is None else [self.mirror.seen(fingers, chunks)]):
            single._said(*seen, note=note)
        return replace(self, ranges={name: found[name] for name in WHOLE})

    def _said(
        self,
        fingers: NDArray[Any],
        chunks: NDArray[Any],
        note: Callable[[str, NDArray[Any]], None] = lambda _name, _rows: None,
    ) -> Array:
        at = {name: np.asarray(value, dtype=np.float32) for name, value in self.arrays.items()}

        def linear(name: str, rows: NDArray[Any]) -> NDArray[Any]:
            note(name, rows)
            if self.ranges is None or name not in WHOLE:
                return rows @ at[f"{name}_weight"].T + at[f"{name}_bias"]
            read, weights = reading(*self.ranges[name]), whole_weights(at[f"{name}_weight"])
            return read(rows) @ weights.numbers.T * (read.step * weights.steps) + at[f"{name}_bias"]

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


@dataclass(frozen=True)
class Reading:
    """Numbers as whole ones from 0 to 255: so many of ``step``, ``zero`` standing for none."""

    step: np.float32
    zero: np.uint8

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        """``rows`` in steps from zero, float32; what is out of range is at its end."""
        counted = np.clip(np.rint(rows / self.step) + np.float32(self.zero), 0, READ_STEPS)
        return np.asarray(counted - np.float32(self.zero), dtype=np.float32)


def reading(low: float, high: float) -> Reading:
    """What reads numbers from ``low``, 0 or less, to ``high``."""
    step = np.float32(max((high - low) / READ_STEPS, 1e-12))
    return Reading(step, np.uint8(np.clip(np.rint(-low / float(step)), 0, READ_STEPS)))


@dataclass(frozen=True)
class WholeWeights:
    """Weights as whole ``numbers`` (out, in), -63 to 63, float32, of ``steps`` (out,)."""

    numbers: NDArray[np.float32]
    steps: NDArray[np.float32]


def whole_weights(weight: NDArray[Any]) -> WholeWeights:
    """``weight`` (out, in) in steps of each row's own."""
    steps = np.maximum(np.abs(weight).max(axis=1) / WEIGHT_STEPS, 1e-12).astype(np.float32)
    return WholeWeights(np.rint(weight / steps[:, None]).astype(np.float32), steps)


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
        self.constants: dict[str, Any] = {"high": np.float32(CLIP), "low": np.float32(-CLIP), "one": np.float32(1.0)}
        self.constants |= {name: np.asarray(getattr(frames, name), dtype=np.int64) for name in ("next", "previous")}
        self.constants |= {"to_world": to_world(frames, weights.steps + 1).astype(np.float32)}
        self.constants |= {"all_fingers": np.array([-1, len(frames.next) * weights.width], dtype=np.int64)}
        self._whole = WHOLE if weights.ranges is not None else ()
        for name in self._whole:
            self._hold_whole(name, weights)
        for name, value in weights.arrays.items():
            if name.removesuffix("_weight") in self._whole:
                continue
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
        add, linear, elu = self.add, self._linear, partial(quick_elu, self.add)
        seen = add("Add", [self._read(fingers, FINGERS, tag), "first_bias"], f"state_seen{tag}")
        h = elu(add("Add", [self._read(chunks, CHUNKS, tag), seen], f"first{tag}"))
        h = elu(linear("second", h, tag))
        for k in range(ROUNDS):
            beside = [add("Gather", [h, name], f"{name}_{k}{tag}", axis=1) for name in ("next", "previous")]
            heard = add("Concat", [h, *beside], f"heard_{k}{tag}", axis=2)
            more = linear(f"answers_{k}", elu(linear(f"hears_{k}", heard, tag)), tag)
            h = add("Add", [h, more], f"round_{k}{tag}")
        third = elu(linear("third", elu(h), tag))
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

    def _hold_whole(self, name: str, weights: ForesightWeights) -> None:
        """Keep the weights of layer ``name`` in whole numbers, and how it reads."""
        assert weights.ranges is not None
        read = reading(*weights.ranges[name])
        whole = whole_weights(np.asarray(weights.arrays[f"{name}_weight"], dtype=np.float32))
        self.constants |= {f"{name}_step": read.step, f"{name}_zero": read.zero}
        self.constants |= {f"{name}_whole": whole.numbers.T.astype(np.int8), f"{name}_steps": read.step * whole.steps}

    def _linear(self, name: str, at: str, tag: str) -> str:
        if name in self._whole:
            counted = self.add("QuantizeLinear", [at, f"{name}_step", f"{name}_zero"], f"{name}_counted{tag}")
            summed = self.add("MatMulInteger", [counted, f"{name}_whole", f"{name}_zero"], f"{name}_summed{tag}")
            summed = self.add("Cast", [summed], f"{name}_sum{tag}", to=SINGLE)
            on = self.add("Mul", [summed, f"{name}_steps"], f"{name}_on{tag}")
        else:
            on = self.add("MatMul", [at, f"{name}_weight"], f"{name}_on{tag}")
        return self.add("Add", [on, f"{name}_bias"], f"{name}_of{tag}")

    def _read(self, given: str, part: str, tag: str) -> str:
        centred = self.add("Sub", [given, f"{part}_mean"], f"{part}_centred{tag}")
        at = self.add("Div", [centred, f"{part}_std"], f"{part}_scaled{tag}")
        at = self.add("Clip", [at, "low", "high"], f"{part}_normalised{tag}")
        return self.add("MatMul", [at, f"first_{part}"], f"{part}_read{tag}")


def _elu(rows: NDArray[Any]) -> NDArray[Any]:
    return np.where(rows > 0.0, rows, np.expm1(np.minimum(rows, 0.0)))
