"""How a node of the bench hands over what it measured: one JSON file, written whole when it closes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core.figures import write_text

WARM_UP_S = 2.0
"""How long joint states flow before they count."""

WAITING, MEASURING, DONE = "waiting for the others", "measuring", "done"
"""What the driver of the bench says of itself to the supervisor."""


def write_results(folder: str, name: str, results: dict[str, float]) -> None:
    """Write ``results`` of node ``name`` into ``folder``; nothing where no folder was given."""
    if folder:
        write_text(Path(folder) / f"{name}.json", json.dumps(results))


def read_results(folder: Path) -> dict[str, float]:
    """The results of all nodes that wrote any."""
    merged: dict[str, float] = {}
    for path in sorted(folder.glob("*.json")):
        merged.update(json.loads(path.read_text(encoding="utf-8")))
    return merged


def latency_figures(name: str, seconds: ArrayLike) -> dict[str, float]:
    """Median, 99th percentile and largest of latencies in s, as figures in ms; NaN where there are none."""
    values = np.asarray(seconds, dtype=np.float64)
    if values.size == 0:
        values = np.array([np.nan])
    p50, p99 = np.percentile(values, [50.0, 99.0])
    return {
        f"{name}_p50_ms": 1e3 * float(p50),
        f"{name}_p99_ms": 1e3 * float(p99),
        f"{name}_max_ms": 1e3 * float(values.max()),
    }
