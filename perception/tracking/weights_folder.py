"""A folder of trained trackers: NAME.safetensors and NAME.json, its card, for each model; tuned.json beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from knuckle.core import cards
from knuckle.core.errors import InputError
from knuckle.perception.tracking.track_features import CHANNELS, Floats
from knuckle.perception.tracking.whole_file import write_whole

SHIPPED = Path(__file__).parent / "trained"
MAX_BYTES = 64 << 20
OWN = "the data's own licence; weights trained on non-commercial data are not to be shipped"
SIMULATED_LICENCE = "Apache-2.0"


def save_weights(
    folder: Path,
    name: str,
    weights: Mapping[str, Floats],
    config: dict[str, Any],
    data: str,
    rows: int,
    rate_hz: float,
    sees_and_says: tuple[cards.Entry, cards.Entry] | None = None,
) -> None:
    """Write the weights of a model and their card, whole or not at all.

    ``rate_hz`` is of the films that it learned from; a model steps by frames, so other rates are other motion to it.
    ``sees_and_says`` is what goes in and out, for those that are no motion model of ``rows`` boxes.
    """
    path = folder / f"{name}.safetensors"
    write_whole(path, save({key: np.ascontiguousarray(value, dtype=np.float32) for key, value in weights.items()}))
    sees, says = sees_and_says or (
        cards.Entry("track_features", (rows, CHANNELS), "sizes of the newest box"),
        cards.Entry("offset", (4,), "sizes of the newest box, logarithms of ratios"),
    )
    card = cards.Card(
        name=name,
        config=config,
        observations=(sees,),
        actions=(says,),
        rate_hz=rate_hz,
        data=data,
        licence=SIMULATED_LICENCE if data.startswith("simulated") else OWN,
        sha256=cards.file_sha256(path),
    )
    cards.save(card, folder / f"{name}.json")


def load_weights(folder: Path, name: str, shapes: Mapping[str, int]) -> dict[str, Floats]:
    """The weights of a model, checked against their card; ``shapes`` maps names that must be there to dimensions.

    Raises InputError where a file is missing, broken or not what its card says, or a number is not finite.
    """
    path = folder / f"{name}.safetensors"
    where = str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                "the weights are larger than 64 MiB", where=where, right="weights of knuckle train tracker"
            )
        cards.load(folder / f"{name}.json", weights=path)
        weights = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        what = f"no usable weights of '{name}' ({getattr(error, 'strerror', None) or error})"
        raise InputError(what, where=where, right="--weights with a folder that knuckle train tracker made") from error
    for key, dimensions in shapes.items():
        if key not in weights or weights[key].ndim != dimensions:
            raise InputError(f"no '{key}' of {dimensions} dimensions", where=where, right="weights of this version")
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise InputError("a weight is not finite", where=where, right="weights of a training that did not diverge")
    return weights


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object of at most 1 MiB. InputError otherwise."""
    try:
        if path.stat().st_size > 1 << 20:
            raise InputError(f"{what} is larger than 1 MiB", where=str(path), right="what knuckle train tracker wrote")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{what} cannot be read ({error})", where=str(path), right="a JSON file") from error
    if not isinstance(raw, dict):
        raise InputError(f"{what} is no object", where=str(path), right="what knuckle train tracker wrote")
    return raw
