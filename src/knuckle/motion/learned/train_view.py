"""Training as it is watched in the terminal: a bar, the time that is left, and the curve of the validation's NLL."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.text import Text

from knuckle.core.live_view import LiveView
from knuckle.core.mark_curve import WIDTH, curve


class TrainView(LiveView):
    """Shows validations as they come: a live picture in a terminal, a line each elsewhere."""

    def __init__(self, console: Console, title: str, updates: int, history: list[dict[str, float]]) -> None:
        super().__init__(console)
        self.title, self.updates = title, updates
        self.nlls = [row["validation_nll"] for row in history]

    def show(self, row: Mapping[str, float]) -> None:
        """Show the figures of an update."""
        done, known = row["updates"], "validation_nll" in row
        if known:
            self.nlls.append(row["validation_nll"])
        if self.live:
            left = row["cpu_s"] / done * (self.updates - done)
            head = Text(f"{self.title}: {done:.0f} of {self.updates} updates, {left:.0f} CPU-s left", style="bold")
            marks = f"validation {curve(self.nlls)}  {self.nlls[-1]:.3f} nats a step" if self.nlls else "validation"
            loss = f"loss {row['loss']:.3f}, nearest mode {row['nearest_m']:.2f} m"
            self.draw(Group(head, ProgressBar(self.updates, done, width=WIDTH), Text(marks), Text(loss)))
        elif known:
            self.console.print(
                f"update {done:5.0f}  {row['cpu_s']:7.1f} CPU-s  loss {row['loss']:.3f}  "
                f"validation {row['validation_nll']:.3f} nats a step, minADE {row['validation_min_ade_m']:.2f} m  "
                f"best {row['best_nll']:.3f}",
                soft_wrap=True,
            )
