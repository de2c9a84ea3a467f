"""A network of chunks read back from its ONNX file, so that it can be written again with fewer Euler steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.learned.chunk_graph import ChunkActor, time_row
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

RIGHT = "a network of chunks that knuckle wrote"


def read_chunks(path: Path, hand: HandSpec, euler: int) -> ChunkActor:
    """What the file of chunks of ``hand`` at ``path`` holds, for ``euler`` steps from noise to a chunk.

    InputError where it is no such file, or where its own steps cannot be divided so. A file keeps what the network
    makes of the time of each of its steps, not its weights for any time.
    """
    held = _constants(path)
    try:
        steps = sum(name.startswith("chunk_bias_0_") for name in held)
        require_divisor(euler, steps, where=str(path))
        times = np.array([time_row(k / steps) for k in range(steps)])
        biases = np.array([held[f"chunk_bias_0_{k}"] for k in range(steps)])
        # As many equations as steps for more unknowns: any solution is true at each of those times.
        solved = np.linalg.lstsq(np.concatenate([np.ones((steps, 1)), times], axis=1), biases, rcond=None)[0]
        weights = [held[f"chunk_weight_{j}"] for j in range(sum(name.startswith("chunk_weight_") for name in held))]
        layers = [(np.concatenate([weights[0], solved[1:].T], axis=1), solved[0])]
        layers += [(weights[j], held[f"chunk_bias_{j}"]) for j in range(1, len(weights))]
        normaliser = Normaliser(held["mean"], held["std"], float(held["high"]))
        size = held["chunk_mean"].shape[0]
        mean, scale = (held[name].reshape(-1, hand.dof) for name in ("chunk_mean", "chunk_scale"))
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"the network is not whole ({error})", where=str(path), right=RIGHT) from error
    return ChunkActor(normaliser, layers, HandSymmetry(hand), size // hand.dof, mean, scale, euler)


def require_divisor(euler: int, steps: int, *, where: str) -> None:
    """InputError where ``euler`` steps are not some of the ``steps`` that a network of chunks was written for."""
    if euler < 1 or steps % euler:
        what = f"{euler} Euler steps of a network of chunks written for {steps}"
        raise InputError(what, where=where, right=f"a divisor of {steps}")


def _constants(path: Path) -> dict[str, Array]:
    """All numbers of the file at ``path`` by name; InputError where it cannot be read."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(f"the network cannot be read ({error})", where=str(path), right=RIGHT) from error
    return {part.name: np.asarray(numpy_helper.to_array(part), dtype=np.float64) for part in model.graph.initializer}
