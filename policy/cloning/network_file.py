"""What was learned of episodes, actions or chunks, in a file with its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.cloning.fit import Fitted
from knuckle.policy.learned.chunk_graph import ChunkActor
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

AGAIN = "delete it: it is then learned again"


def write_network(path: Path, fitted: Fitted | ChunkActor, figures: dict[str, float]) -> None:
    """Keep a network with its figures; RunError where it cannot be written."""
    arrays: dict[str, Any] = {"mean": fitted.normaliser.mean, "std": fitted.normaliser.std}
    for k, (weight, bias) in enumerate(fitted.layers):
        arrays |= {f"weight_{k}": weight, f"bias_{k}": bias}
    facts: dict[str, Any] = {"clip": fitted.normaliser.clip, "layers": len(fitted.layers)}
    if isinstance(fitted, ChunkActor):
        arrays |= {"chunk_mean": fitted.mean, "chunk_scale": fitted.scale}
        facts |= {"length": fitted.length, "euler": fitted.euler}
    else:
        facts |= {"symmetric": fitted.symmetry is not None, "error": fitted.error}
        facts |= {"spread": fitted.spread, "action_std": fitted.std}
    known = {name: value if np.isfinite(value) else None for name, value in figures.items()}
    write_arrays(path, arrays, facts | {"figures": known}, what="the network")


def read_network(path: Path, hand: HandSpec) -> tuple[Fitted | ChunkActor, dict[str, float]]:
    """The network and the figures in the file at ``path``; InputError where it is broken."""
    arrays, facts = read_arrays(path, what="the network", right=AGAIN)
    try:
        layers = [(arrays[f"weight_{k}"], arrays[f"bias_{k}"]) for k in range(facts["layers"])]
        normaliser = Normaliser(arrays["mean"], arrays["std"], facts["clip"])
        figures = {name: float("nan") if value is None else float(value) for name, value in facts["figures"].items()}
        if "length" in facts:
            chunk = facts["length"], arrays["chunk_mean"], arrays["chunk_scale"], facts["euler"]
            return ChunkActor(normaliser, layers, HandSymmetry(hand), *chunk), figures
        symmetry = HandSymmetry(hand) if facts["symmetric"] else None
        return Fitted(layers, normaliser, facts["error"], facts["spread"], facts["action_std"], symmetry), figures
    except KeyError as error:
        raise InputError(f"the network lacks {error}", where=str(path), right=AGAIN) from error
