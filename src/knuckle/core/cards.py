"""Model cards: a JSON file beside a safetensors file that says what the weights are, checked before they are used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from knuckle.core.errors import InputError
from knuckle.core.figures import write_text

SCHEMA = 1
MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One observation or action: its name, shape and unit."""

    name: str
    shape: tuple[int, ...]
    unit: str


@dataclass(frozen=True)
class Card:
    """What a deployable model is and was measured to do.

    ``normaliser`` maps a name to its mean and scale; ``rate_hz`` is the control or sample rate; ``scores`` maps a
    protocol to its figures; ``sha256`` is of the weights file, empty where the model has none.
    """

    name: str
    config: dict[str, Any]
    observations: tuple[Entry, ...]
    actions: tuple[Entry, ...]
    rate_hz: float
    data: str
    licence: str
    normaliser: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    sha256: str = ""
    schema: int = SCHEMA


def save(card: Card, path: Path) -> None:
    """Write the card whole or not at all."""
    write_text(path, json.dumps(asdict(card), indent=2) + "\n")


def load(path: Path, *, weights: Path | None = None) -> Card:
    """The card at ``path``; with ``weights``, their sha256 is checked against it.

    Raises InputError where the file is too large, not JSON, of another schema, lacks a key, or the weights differ or
    cannot be read.
    """
    where = str(path)
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise InputError("the card is larger than 1 MiB", where=where, right="a knuckle model card")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the card cannot be read ({error})", where=where, right="a JSON model card") from error
    card = _from_json(raw, where)
    if weights is not None and card.sha256 != file_sha256(weights):
        raise InputError("the weights do not match the card's sha256", where=str(weights), right="fetch both anew")
    return card


def file_sha256(path: Path) -> str:
    """The sha256 of a file, hexadecimal; InputError where it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        what = f"the file cannot be read ({error.strerror})"
        raise InputError(what, where=str(path), right="the weights that the card is of") from error


def _from_json(raw: Any, where: str) -> Card:
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        got = raw.get("schema") if isinstance(raw, dict) else type(raw).__name__
        raise InputError(f"schema {got!r} is not {SCHEMA}", where=where, right="a card of this version")
    known = set(Card.__dataclass_fields__)
    unknown = sorted(set(raw) - known)
    if unknown:
        raise InputError(f"unknown keys {unknown}", where=where, right=f"known: {', '.join(sorted(known))}")
    try:
        for side in ("observations", "actions"):
            raw[side] = tuple(Entry(e["name"], tuple(e["shape"]), e["unit"]) for e in raw[side])
        raw["normaliser"] = {k: (list(m), list(s)) for k, (m, s) in raw.get("normaliser", {}).items()}
        return Card(**raw)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the card is incomplete ({error})", where=where, right="all fields of a card") from error
