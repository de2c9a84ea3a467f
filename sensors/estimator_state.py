"""The text form of an estimator's state: JSON, whose floats come back to the last bit, NaN and -0.0 included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from knuckle.core.errors import InputError

MAX_STATE_BYTES = 1 << 24


def encode(kind: str, values: Mapping[str, Any]) -> bytes:
    """``values`` (numbers, strings, booleans, lists and dictionaries of them) as the state of a ``kind``."""
    return json.dumps({"kind": kind, **values}, separators=(",", ":")).encode()


def decode(kind: str, state: bytes, like: Mapping[str, Any], *, model: str = "") -> dict[str, Any]:
    """The values of a state of ``kind``, of the same keys, types and list lengths as ``like``.

    Raises InputError where the text is too long, is not JSON, or does not fit ``like``; and where the ``model`` in
    ``like`` is another than in the state, which then is named in the words of ``model``. An integer passes for a float.
    """
    where = f"state of {kind}"
    if len(state) > MAX_STATE_BYTES:
        raise InputError(f"{len(state)} bytes is too long", where=where, right=f"at most {MAX_STATE_BYTES}")
    try:
        raw = json.loads(state.decode())
    except (ValueError, RecursionError) as error:
        right = f"the bytes of state() of {kind}"
        raise InputError(f"not JSON ({type(error).__name__})", where=where, right=right) from error
    if not isinstance(raw, dict) or raw.pop("kind", None) != kind:
        raise InputError("the state is of something else", where=where, right=f"the bytes of state() of {kind}")
    if set(raw) != set(like):
        odd = ", ".join(sorted(set(raw) ^ set(like)))
        raise InputError(f"keys differ: {odd}", where=where, right=f"the state of a {kind} of this version")
    if model and raw["model"] != like["model"]:
        raise InputError("the state is of another model", where=where, right=f"one of {model}")
    for key, wanted in like.items():
        if not _fits(raw[key], wanted):
            raise InputError(f"'{key}' is not of the form expected", where=where, right=f"the form of {wanted!r:.60}")
    return raw


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, dict) and set(value) == set(wanted) and all(_fits(value[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(_fits(v, w) for v, w in zip(value, wanted, strict=True))
        )
    if isinstance(wanted, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(wanted)
