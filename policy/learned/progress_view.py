"""Training as it is watched in the terminal: the curve of success, the rate, the time that is left."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from knuckle.core.live_view import LiveView
from knuckle.core.mark_curve import WIDTH, curve

SHARES = (0.0, 1.0)


class ProgressView(LiveView):
    """Shows the rows of figures as they come, a live picture in a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, title: str, minutes: float, history: list[dict[str, float]]) -> None:
        super().__init__(console)
        self.title, self.minutes = title, minutes
        self.learning: list[float] = []
        self.judged: list[float] = []
        for row in history:
            self._keep(row)

    def show(self, row: Mapping[str, float], rung: str) -> None:
        """Show a row of figures; ``rung`` is the newest."""
        self._keep(row)
        if self.live:
            self.draw(self._picture(row, rung))
        elif "judged_five" in row:
            spent = row["spent_s"] / 60
            self.console.print(
                f"{spent:6.1f} min  {row['steps'] / 1e6:8.2f} M steps  {row['steps_per_s']:6.0f} steps/s  {rung}: "
                f"{row['judged_five']:4.0%} by five conditions, {row['judged_crossed']:4.0%} crossed",
                soft_wrap=True,
            )

    def _keep(self, row: Mapping[str, float]) -> None:
        self.learning.append(row.get("success_newest", math.nan))
        if "judged_five" in row:
            self.judged.append(row["judged_five"])

    def _picture(self, row: Mapping[str, float], rung: str) -> Group:
        spent = row["spent_s"] / 60
        left = max(self.minutes - spent, 0.0)
        head = Text(f"{self.title}: rung {rung}, {spent:.1f} of {self.minutes:g} min, {left:.1f} left", style="bold")
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_row("while exploring", curve(self.learning, ends=SHARES), _percent(self.learning))
        table.add_row("by five conditions", curve(self.judged, ends=SHARES), _percent(self.judged))
        speed = f"{row['steps'] / 1e6:.2f} M steps, {row['steps_per_s']:.0f} steps/s"
        bar = ProgressBar(self.minutes, min(spent, self.minutes), width=WIDTH)
        return Group(head, bar, table, Text(speed), Text(self.change(row)))

    def change(self, row: Mapping[str, float]) -> str:
        """What the learner did in the update of ``row``."""
        return f"KL {row['approx_kl']:.3f}, learning rate {row['rate']:.1e}"


def _percent(shares: list[float]) -> str:
    known = [share for share in shares if math.isfinite(share)]
    return f"{known[-1]:.0%}" if known else ""
