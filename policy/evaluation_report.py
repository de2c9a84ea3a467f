"""The table that ``knuckle eval reorient`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from knuckle.policy.reorient_score import THRESHOLDS, EpisodeScore, angle_histogram, figures_of


def print_report(controller: str, scores: list[EpisodeScore], beside: list[EpisodeScore]) -> None:
    """Success at each threshold with its interval, drops and times, starting angles, and each object's share."""
    console = Console()
    figures, intervals = figures_of(scores)
    nothing, _ = figures_of(beside)
    table = Table(title=f"reorientation, {controller}, {len(scores)} episodes")
    for heading in ("", controller, "95% interval", "doing nothing"):
        table.add_column(heading, justify="right" if heading else "left")
    names = [f"success_{t:g}".replace(".", "p") for t in THRESHOLDS] + ["drop_rate"]
    labels = [f"within {t:g} rad, still" for t in THRESHOLDS] + ["dropped"]
    for name, label in zip(names, labels, strict=True):
        low, high = intervals[name]
        table.add_row(label, f"{figures[name]:.0%}", f"{low:.0%} to {high:.0%}", f"{nothing[name]:.0%}")
    table.add_row("median time to success", f"{figures['median_time_s']:.1f} s", "", "")
    table.add_row("median time, failures as 15 s", f"{figures['median_time_all_s']:.1f} s", "", "")
    table.add_row("real-time factor", f"{figures['real_time_factor']:.2f}", "", "")
    console.print(table)
    spread = ", ".join(f"{low:.1f} to {high:.1f}: {count}" for low, high, count in angle_histogram(scores))
    console.print(f"starting angles, rad: {spread}")
    for name in sorted({s.object_name for s in scores}):
        own = [s for s in scores if s.object_name == name]
        console.print(f"  {name}: {sum(s.succeeded(0.4) for s in own)} of {len(own)} within 0.4 rad")
