"""The table of everything that ``--set`` can change, with the values of a training."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from knuckle.core.config import describe
from knuckle.sensors.hiss.train_config import Training


def settings_table(training: Training) -> Table:
    """Name, value, range and meaning of each setting."""
    table = Table("setting", "value", "range", "", box=None, pad_edge=False)
    parts: tuple[Any, ...] = (training.sizes, training.features, training.learn)
    for part in parts:
        for spec in describe(type(part)):
            limits = "" if spec.low is None else f"{spec.low:g} to {spec.high:g} {spec.unit}".rstrip()
            table.add_row(spec.name, str(getattr(part, spec.name)), limits or ", ".join(spec.choices), spec.help)
    return table
