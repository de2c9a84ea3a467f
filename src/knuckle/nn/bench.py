"""What `knuckle bench ssm` reports: costs in seconds of the processor, taken in turns, and the ratios between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import psutil


@dataclass
class Costs:
    """Seconds of the processor that each contender took, a number a repeat; ``load`` is the machine's before each."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)

    def repeat(self, contenders: Mapping[str, tuple[Callable[[], object], int]]) -> None:
        """Run every contender once, in turn: what it does, and how many units of work that is."""
        self.load.append(psutil.getloadavg()[0])
        for name, (run, units) in contenders.items():
            begun = time.process_time()
            run()
            self.seconds.setdefault(name, []).append((time.process_time() - begun) / units)

    def ratio(self, dearer: str, cheaper: str) -> list[float]:
        """How many times as much the one takes, repeat by repeat."""
        return [a / b for a, b in zip(self.seconds[dearer], self.seconds[cheaper], strict=True)]


def figures_of(series: Mapping[str, list[float]]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Medians and ranges over the repeats."""
    return (
        {name: float(median(values)) for name, values in series.items()},
        {name: (min(values), max(values)) for name, values in series.items()},
    )
