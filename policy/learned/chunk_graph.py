"""A network of chunks as an ONNX file: observation and noise to postures, Euler steps and all. Needs ``learn``.

The time of each step is known beforehand, so what the network is told of it goes into that step's first bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.learned.onnx_graph import INPUT, Normaliser, network_file, turned
from knuckle.policy.learned.quick_elu import quick_elu
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

NOISE, CHUNK = "noise", "chunk"
TIMES = 5
"""Numbers that the network is told of the time: itself, sine and cosine of half a turn and of a whole one."""


@dataclass(frozen=True)
class ChunkActor:
    """A learned chunk: ``layers`` (weight, bias) with ELU between read the normalised observation in one turn of
    ``symmetry``, the chunk as it is so far in the same turn, and the time, and give the velocity of the first finger's
    part. ``mean`` and ``scale`` (length, dof) bring it to the largest step; ``euler`` steps, 0: the mean alone."""

    normaliser: Normaliser
    layers: Sequence[tuple[Array, Array]]
    symmetry: HandSymmetry
    length: int
    mean: Array
    scale: Array
    euler: int

    def chunks(self, observations: Array, noise: Array) -> Array:
        """Chunks (n, length, dof) in the largest step from the posture at their beginning, for ``observations``
        (n, width) and ``noise`` (n, length, dof), standard normal; the same in numpy, in single precision."""
        n, turns = len(observations), self.symmetry.order
        seen = self.normaliser(self.symmetry.copies(observations)).reshape(n * turns, -1).astype(np.float32)
        at = noise * np.float64(self.euler > 0)
        finger = np.argsort(self.symmetry.finger_of())
        for k in range(max(self.euler, 1)):
            rows = at[:, :, self.symmetry.sources()].transpose(0, 2, 1, 3).reshape(n * turns, -1)
            time = np.tile(time_row(k / max(self.euler, 1)), (n * turns, 1))
            speed = _elu_network(self.layers, np.concatenate([seen, rows, time], axis=1).astype(np.float32))
            speed = speed.reshape(n, turns, self.length, -1)[:, finger].transpose(0, 2, 1, 3)
            at = at + speed.reshape(at.shape) / max(self.euler, 1)
        return np.asarray(at * self.scale + self.mean)


def time_row(time: float) -> Array:
    """What the network is told of the ``time``, 0 to 1."""
    half, whole = np.pi * time, 2.0 * np.pi * time
    return np.array([time, np.sin(half), np.cos(half), np.sin(whole), np.cos(whole)])


def chunk_graph(actor: ChunkActor) -> bytes:
    """The file's bytes: observations (n, width) and noise (n, length * dof) to chunks (n, length * dof), float32."""
    nodes: list[Any] = []
    symmetry, width = actor.symmetry, actor.symmetry.build.width
    size = actor.length * symmetry.hand.dof

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    steps, constants = max(actor.euler, 1), _constants(actor)
    at = turned(symmetry, add, constants)
    at = add("Div", [add("Sub", [at, "mean"], "centred"), "std"], "scaled")
    seen = add("Clip", [at, "low", "high"], "normalised")
    first, bias = actor.layers[0]
    constants["chunk_weight_0"] = first[:, : width + size]
    for j, (weight, more) in enumerate(actor.layers[1:], start=1):
        constants |= {f"chunk_weight_{j}": weight, f"chunk_bias_{j}": more}
    chunk = add("Mul", [NOISE, "noise_counts"], "begin")
    for k in range(steps):
        constants[f"chunk_bias_0_{k}"] = bias + first[:, width + size :] @ time_row(k / steps)
        rows = add("Gather", [chunk, "to_turns"], f"every_turn_{k}", axis=1)
        rows = add("Reshape", [rows, "chunk_rows"], f"turn_rows_{k}")
        at = add("Concat", [seen, rows], f"read_{k}", axis=1)
        for j in range(len(actor.layers)):
            name = f"chunk_bias_0_{k}" if j == 0 else f"chunk_bias_{j}"
            at = add("Gemm", [at, f"chunk_weight_{j}", name], f"linear_{k}_{j}", transB=1)
            if j + 1 < len(actor.layers):
                at = quick_elu(add, at)
        at = add("Gather", [add("Reshape", [at, "chunk_rows"], f"of_all_{k}"), "by_joint"], f"speed_{k}", axis=1)
        chunk = add("Add", [chunk, add("Mul", [at, "share"], f"moved_{k}")], f"chunk_{k}")
    add("Add", [add("Mul", [chunk, "chunk_scale"], "stretched"), "chunk_mean"], CHUNK)
    return network_file(nodes, "chunk", {INPUT: width, NOISE: size}, {CHUNK: size}, constants)


def _constants(actor: ChunkActor) -> dict[str, NDArray[Any]]:
    """All but the weights: normaliser, which number goes where in a turn and back, and the scale of a chunk."""
    symmetry, length = actor.symmetry, actor.length
    dof, order = symmetry.hand.dof, symmetry.order
    size = length * dof
    places = np.arange(size).reshape(length, dof)
    to_turns = places[:, symmetry.sources()].transpose(1, 0, 2).reshape(-1)
    answers = np.arange(size).reshape(order, length, symmetry.joints)[np.argsort(symmetry.finger_of())]
    by_joint = answers.transpose(1, 0, 2).reshape(-1)
    return {
        "mean": actor.normaliser.mean,
        "std": actor.normaliser.std,
        "low": np.array(-actor.normaliser.clip),
        "high": np.array(actor.normaliser.clip),
        "to_turns": to_turns.astype(np.int64),
        "by_joint": by_joint.astype(np.int64),
        "chunk_rows": np.array([-1, size], dtype=np.int64),
        "share": np.array(1.0 / max(actor.euler, 1)),
        "noise_counts": np.array(float(actor.euler > 0)),
        "chunk_scale": actor.scale.reshape(-1),
        "chunk_mean": actor.mean.reshape(-1),
    }


def _elu_network(layers: Sequence[tuple[Array, Array]], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    for k, (weight, bias) in enumerate(layers):
        rows = rows @ weight.T.astype(np.float32) + bias.astype(np.float32)
        rows = np.where(rows > 0.0, rows, np.expm1(np.minimum(rows, 0.0))) if k + 1 < len(layers) else rows
    return rows
