"""What a training run leaves: run.json, checkpoint.safetensors, metrics.jsonl, and model/ with what is to be used."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError
from knuckle.core.figures import require_writable, write_text

SETTINGS, CHECKPOINT, METRICS, MODEL, LOCK = "run.json", "checkpoint.safetensors", "metrics.jsonl", "model", ".lock"
MAX_BYTES = 1 << 20


class RunFolder:
    """The run in ``path``. InputError where nothing could be written there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        require_writable(path / SETTINGS, what="the run")

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Note the settings of a new run; of one that is here already, InputError names the first that differs.

        The run is kept for this process until it ends.
        """
        path = self.path / SETTINGS
        wanted = json.loads(json.dumps(settings))
        if path.is_file():
            here = self._settings(path)
            for name in sorted({*here, *wanted}):
                if here.get(name) != wanted.get(name):
                    what = f"the run here has {name} {here.get(name)}, not {wanted.get(name)}"
                    raise InputError(what, where=str(self.path), right="the same settings, or another --run")
        else:
            write_text(path, json.dumps(wanted, indent=2) + "\n")
        self._held = open(self.path / LOCK, "w", encoding="utf-8")  # noqa: SIM115, it is held as long as the process
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            right = "another --run, or end that one first"
            raise InputError("another process trains here", where=str(self.path), right=right) from error

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Arrays and facts of the checkpoint, None where there is none yet; InputError where it is broken."""
        path = self.path / CHECKPOINT
        return read_arrays(path, what="the checkpoint", right="another --run") if path.is_file() else None

    def keep(self, captured: tuple[Mapping[str, Any], Mapping[str, Any]], rows: list[dict[str, float]]) -> None:
        """Write the figures so far and then the checkpoint; RunError where that is impossible."""
        write_text(self.path / METRICS, "".join(json.dumps(row) + "\n" for row in rows))
        write_arrays(self.path / CHECKPOINT, *captured, what="the checkpoint")

    def history(self, updates: int) -> list[dict[str, float]]:
        """The figures up to ``updates``; what a run that was killed wrote after its checkpoint is left out."""
        path = self.path / METRICS
        rows: list[dict[str, float]] = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            row = json.loads(line)
            if row["updates"] <= updates:
                rows.append(row)
        return rows

    def _settings(self, path: Path) -> dict[str, Any]:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError("the settings are larger than 1 MiB", where=str(path), right="another --run")
            here = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"the settings cannot be read ({error})", where=str(path), right="another --run"
            ) from error
        if not isinstance(here, dict):
            raise InputError("the settings are no object", where=str(path), right="another --run")
        return here
