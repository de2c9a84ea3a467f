"""The figures of a training run for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard.writer import SummaryWriter

from knuckle.core.errors import RunError

GROUPS = {"train": "loss", "validation": "error", "best": "error", "loss": "batch", "square": "batch", "nll": "batch"}


class Board:
    """Writes event files to ``folder``; what an earlier part of the run wrote after ``updates`` is hidden."""

    def __init__(self, folder: Path, updates: int) -> None:
        try:
            self._writer = SummaryWriter(str(folder), purge_step=updates + 1)
        except OSError as error:
            what = f"the log cannot be written ({error.strerror})"
            raise RunError(what, where=str(folder), right="room in a folder of yours") from error

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def note(self, figures: Mapping[str, float]) -> None:
        """Write ``figures`` at their ``updates``."""
        for name, value in figures.items():
            if math.isfinite(value):
                group = GROUPS.get(name.partition("_")[0], "cost")
                self._writer.add_scalar(f"{group}/{name}", value, int(figures["updates"]))
