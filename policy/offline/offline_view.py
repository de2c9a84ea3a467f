"""Offline learning as it is watched in the terminal: the curve of its loss, how far it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.text import Text

from knuckle.core.live_view import LiveView
from knuckle.core.mark_curve import WIDTH, curve

WATCHED = ("cloning_loss", "policy_loss", "q_loss", "value", "value_unseen_z", "cosine", "weight_effective_share")
"""Figures that are drawn where a learner has them."""


class OfflineView(LiveView):
    """Shows figures as they are noted, ``steps`` in all: a live picture in a terminal, a line each elsewhere."""

    def __init__(self, console: Console, title: str, steps: int, history: Sequence[Mapping[str, float]]) -> None:
        super().__init__(console)
        self.title, self.steps = title, steps
        self.rows = [dict(row) for row in history]

    def show(self, row: Mapping[str, float]) -> None:
        """Show what was noted at a step, ``updates``."""
        self.rows.append(dict(row))
        if self.live:
            self.draw(self.picture())
            return
        shown = ", ".join(f"{name} {value:.3g}" for name, value in row.items() if name != "updates")
        self.console.print(f"step {row['updates']:.0f}: {shown}", soft_wrap=True, highlight=False)

    def picture(self) -> Group:
        """The head, the bar, and a curve with its last value for each of `WATCHED` that is there."""
        last = self.rows[-1]
        head = f"{self.title}: step {last['updates']:.0f} of {self.steps}, {last['cpu_s'] / 60:.1f} CPU-min"
        bar = ProgressBar(self.steps, min(last["updates"], self.steps), width=WIDTH)
        lines = [
            Text(f"{name:>22} {curve([row.get(name, math.nan) for row in self.rows])} {last[name]:.4g}")
            for name in WATCHED
            if name in last
        ]
        return Group(Text(head, style="bold"), bar, *lines)
