"""Figures: the one JSON object that ``--json FILE`` writes, and the intervals beside a rate."""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from knuckle.core.errors import InputError, RunError


@dataclass(frozen=True)
class Figures:
    """The result of a bench or an evaluation.

    ``figures`` maps snake_case names, unit or threshold last, to numbers; ``intervals`` maps some of them to 95%
    bounds; ``n`` is the number of cases (episodes, samples).
    """

    command: list[str]
    config: dict[str, Any]
    seed: int
    n: int
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=lambda: machine())

    def write(self, path: Path) -> None:
        """Write the JSON file whole or not at all; a figure that does not exist (NaN) is null, as JSON has no NaN.

        Raises RunError where it cannot be written.
        """
        data = asdict(self)
        data["figures"] = {k: v if math.isfinite(v) else None for k, v in self.figures.items()}
        try:
            write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")
        except OSError as error:
            what = f"the figures cannot be written ({error.strerror})"
            raise RunError(what, where=str(path), right="a file in a folder of yours") from error


def machine() -> dict[str, Any]:
    """What the figures were measured on: cores, load, system, Python."""
    return {
        "cores": os.cpu_count() or 0,
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% Wilson score interval of a rate; (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def require_writable(path: Path, *, what: str = "the figures") -> None:
    """InputError where no file could be written at ``path``: tried, so that no long run ends in vain.

    A folder that is missing would be made, so the nearest one that exists is tried; nothing is left in it.
    """
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        problem = f"{what} cannot be written there ({error.strerror})"
        raise InputError(problem, where=str(path), right="a file in a folder of yours") from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` under a temporary name in the same folder, then rename: a reader never sees half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
