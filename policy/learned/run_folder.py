"""What a training run leaves: its settings, its checkpoint, its figures line by line, its policy and its film.

run.json               the settings
checkpoint.safetensors all that the next update follows from
metrics.jsonl          a line of figures each update
tensorboard/           the same for TensorBoard
policy/                the policy as of the checkpoint, to be deployed: card.json, policy.onnx
episode.mp4            one episode of it
faults/                states of worlds that broke down
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
from knuckle.policy.learned.policy_folder import IN_RUN
from knuckle.policy.learned.train_config import Training, training_of

CONFIG, CHECKPOINT, METRICS = "run.json", "checkpoint.safetensors", "metrics.jsonl"
BOARD, VIDEO, FAULTS, LOCK = "tensorboard", "episode.mp4", "faults", ".lock"


class RunFolder:
    """The run in ``path``. InputError where nothing could be written there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        require_writable(path / CONFIG, what="the run")

    @property
    def policy(self) -> Path:
        """Where its policy lies."""
        return self.path / IN_RUN

    @property
    def begun(self) -> bool:
        """Whether there is a run to go on with."""
        return (self.path / CONFIG).is_file()

    def begin(self, training: Training) -> None:
        """Note the settings of a new run."""
        write_text(self.path / CONFIG, json.dumps(training.facts(), indent=2) + "\n")

    def training(self) -> Training:
        """The settings of the run that is here; InputError where they cannot be read."""
        where = str(self.path / CONFIG)
        try:
            facts = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"the settings cannot be read ({error})", where=where, right="another --run") from error
        return training_of(facts, where=where)

    def require_same(self, training: Training) -> None:
        """InputError that names the first setting, but threads, in which ``training`` is not the run that is here."""
        here, wanted = _flat(self.training().facts()), _flat(training.facts())
        for name, value in wanted.items():
            if name != "threads" and here.get(name) != value:
                what = f"the run here has {name} {here.get(name)}, not {value}"
                raise InputError(what, where=str(self.path), right="the same settings, or another --run")

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Arrays and facts of the checkpoint, None where there is none yet; InputError where it is broken."""
        path = self.path / CHECKPOINT
        return read_arrays(path) if path.is_file() else None

    def keep(self, arrays: dict[str, Any], facts: dict[str, Any]) -> None:
        """Write the checkpoint; RunError where that is impossible."""
        write_arrays(self.path / CHECKPOINT, arrays, facts)

    def note(self, figures: Mapping[str, float]) -> None:
        """Add a line of figures; RunError where that is impossible."""
        finite = {name: float(value) if math.isfinite(value) else None for name, value in figures.items()}
        try:
            with open(self.path / METRICS, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(finite) + "\n")
        except OSError as error:
            where = str(self.path / METRICS)
            what = f"the figures cannot be written ({error.strerror})"
            raise RunError(what, where=where, right="room on the disk") from error

    def figures(self) -> list[dict[str, float]]:
        """The lines of figures; half a line at the end, of a run that was killed, is left out."""
        path, rows = self.path / METRICS, []
        if not path.is_file():
            return []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break
            rows.append({name: math.nan if value is None else float(value) for name, value in row.items()})
        return rows

    def cut(self, updates: int) -> list[dict[str, float]]:
        """Drop the lines after ``updates``, which will be done again; the lines that are left."""
        kept = [row for row in self.figures() if row["updates"] <= updates]
        lines = [json.dumps({k: v if math.isfinite(v) else None for k, v in row.items()}) for row in kept]
        write_text(self.path / METRICS, "".join(f"{line}\n" for line in lines))
        return kept

    def lock(self) -> None:
        """Keep the run for this process until it ends; InputError where another trains here."""
        self._held = open(self.path / LOCK, "w", encoding="utf-8")  # noqa: SIM115, it is held as long as the process
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            right = "another --run, or end that one first"
            raise InputError("another process trains here", where=str(self.path), right=right) from error


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
