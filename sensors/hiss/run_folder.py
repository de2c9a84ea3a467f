"""What a training run leaves: its settings, its checkpoint, its figures line by line, its model.

run.json               the settings
checkpoint.safetensors all that the next update follows from
metrics.jsonl          a line of figures each epoch
tensorboard/           the same for TensorBoard
model/                 the best model so far, to be used: card.json, weights.safetensors, and ONNX files
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import require_writable, write_text
from knuckle.sensors.hiss.train_config import Training, training_of

CONFIG, CHECKPOINT, METRICS, BOARD, MODEL, LOCK = (
    "run.json",
    "checkpoint.safetensors",
    "metrics.jsonl",
    "tensorboard",
    "model",
    ".lock",
)


class RunFolder:
    """The run in ``path``. InputError where nothing could be written there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        require_writable(path / CONFIG, what="the run")

    @property
    def begun(self) -> bool:
        """Whether there is a run to go on with."""
        return (self.path / CONFIG).is_file()

    def begin(self, training: Training) -> None:
        """Note the settings of a new run."""
        write_text(self.path / CONFIG, json.dumps(training.facts(), indent=2) + "\n")

    def require_same(self, training: Training) -> None:
        """InputError that names the first setting in which ``training`` is not the run that is here."""
        where = str(self.path / CONFIG)
        try:
            stored = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"the settings cannot be read ({error})", where=where, right="another --run") from error
        here = _flat(training_of(stored, where=where).facts())
        for name, value in _flat(training.facts()).items():
            if here.get(name) != value:
                what = f"the run here has {name} {here.get(name)}, not {value}"
                raise InputError(what, where=str(self.path), right="the same settings, or another --run")

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Arrays and facts of the checkpoint, None where there is none yet; InputError where it is broken."""
        path = self.path / CHECKPOINT
        return read_arrays(path, what="the checkpoint", right="another --run") if path.is_file() else None

    def keep(self, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write the checkpoint; RunError where that is impossible."""
        write_arrays(self.path / CHECKPOINT, arrays, facts, what="the checkpoint")

    def note(self, figures: Mapping[str, float]) -> None:
        """Add a line of figures; RunError where that is impossible."""
        try:
            with open(self.path / METRICS, "a", encoding="utf-8") as stream:
                stream.write(_line(figures))
        except OSError as error:
            what = f"the figures cannot be written ({error.strerror})"
            raise RunError(what, where=str(self.path / METRICS), right="room on the disk") from error

    def cut(self, epochs: int) -> list[dict[str, float]]:
        """Drop the lines after ``epochs``, and half a line of a run that was killed; the lines that are left."""
        rows: list[dict[str, float]] = []
        path = self.path / METRICS
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                row = json.loads(line)
            except ValueError:
                break
            if row["epoch"] <= epochs:
                rows.append({name: math.nan if value is None else float(value) for name, value in row.items()})
        write_text(path, "".join(map(_line, rows)))
        return rows

    def lock(self) -> None:
        """Keep the run for this process until it ends; InputError where another trains here."""
        self._held = open(self.path / LOCK, "w", encoding="utf-8")  # noqa: SIM115, it is held as long as the process
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            right = "another --run, or end that one first"
            raise InputError("another process trains here", where=str(self.path), right=right) from error


def _line(figures: Mapping[str, float]) -> str:
    return json.dumps({name: value if math.isfinite(value) else None for name, value in figures.items()}) + "\n"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
