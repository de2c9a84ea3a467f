"""Training as it is watched in the terminal: the curve of the validation error, the time that is left."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.text import Text

from knuckle.core.live_view import LiveView
from knuckle.core.mark_curve import WIDTH, curve


def log_curve(errors: list[float]) -> str:
    """`curve` of the logarithms of the finite ``errors`` above 0."""
    return curve([math.log(e) for e in errors if math.isfinite(e) and e > 0.0])


class ProgressView(LiveView):
    """Shows updates and epochs as they come: a live picture in a terminal, a line each epoch elsewhere."""

    def __init__(self, console: Console, title: str, epochs: int, history: list[dict[str, float]]) -> None:
        super().__init__(console)
        self.title, self.epochs = title, epochs
        self.errors = [row["validation_mse"] for row in history]

    def show(self, row: Mapping[str, float], epoch: float, minutes_left: float) -> None:
        """Show a row of figures; ``epoch`` as a fraction counts what is done of the current one."""
        if "validation_mse" in row:
            self.errors.append(row["validation_mse"])
        if self.live:
            self.draw(self._picture(row, epoch, minutes_left))
        elif "validation_mse" in row:
            self.console.print(
                f"epoch {row['epoch']:3.0f}  {row['cpu_s'] / 60:6.2f} CPU-min  train {row['train_square']:.4f}  "
                f"validation {row['validation_mse']:.6g}  best {row['best_mse']:.6g} (epoch {row['best_epoch']:.0f})",
                soft_wrap=True,
            )

    def _picture(self, row: Mapping[str, float], epoch: float, minutes_left: float) -> Group:
        left = f", {minutes_left:.1f} min left" if math.isfinite(minutes_left) else ""
        head = Text(f"{self.title}: epoch {epoch:.2f} of {self.epochs}{left}", style="bold")
        line = f"{log_curve(self.errors)}  {self.errors[-1]:.6g}" if self.errors else ""
        loss = f"batch: squared error {row['square']:.4f}, likelihood {row['nll']:.3f}"
        return Group(head, ProgressBar(self.epochs, epoch, width=WIDTH), Text(f"validation {line}"), Text(loss))
