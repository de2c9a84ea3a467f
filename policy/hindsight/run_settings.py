"""The settings of a run in its folder: noted when it begins, held against those of the command that goes on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knuckle.core.errors import InputError
from knuckle.core.figures import write_text
from knuckle.policy.hindsight.hindsight_config import Hindsight
from knuckle.policy.learned.run_folder import CONFIG

_FREE = ("threads",)


def note_or_require_same(path: Path, run: Hindsight) -> None:
    """Note the settings of ``run`` in the folder ``path``, or InputError that names the first one, but for threads, in
    which the run that is here is another."""
    file, wanted = path / CONFIG, json.loads(json.dumps(run.facts()))
    if not file.is_file():
        write_text(file, json.dumps(wanted, indent=2) + "\n")
        return
    try:
        here = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(here, dict):
            raise ValueError("no table")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the settings cannot be read ({error})", where=str(file), right="another --run") from error
    stand = _flat(here)
    for name, value in {"learner": wanted["learner"], **_flat(wanted)}.items():
        if name not in _FREE and stand.get(name) != value:
            what = f"the run here has {name} {stand.get(name)}, not {value}"
            raise InputError(what, where=str(path), right="the same settings, or another --run")


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
