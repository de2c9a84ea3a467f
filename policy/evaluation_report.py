"""The table that ``knuckle eval reorient`` prints."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table

from knuckle.policy.reorient_score import THRESHOLDS, EpisodeScore, angle_histogram, figures_of
from knuckle.policy.reorient_task import ReorientTask
from knuckle.sim.objects import family_of

PERCEIVED = (
    ("pose_error_deg", "median error of the perceived orientation", "degrees"),
    ("position_error_mm", "median error of the perceived position", "mm"),
    ("lost_share", "frames in which the object was lost", ""),
    ("perception_ms", "processor time a frame", "ms"),
)
"""Figures of perceiving: name, label, unit."""
CHAINED = (
    ("later_success_0p4", "later goals"),
    ("after_success_0p4", "after a success"),
    ("after_failure_0p4", "after a failure"),
    ("later_drop_rate", "dropped later"),
)
"""Figures of goals that follow others: name, label."""


def print_report(task: ReorientTask, results: dict[str, list[EpisodeScore]]) -> None:
    """Success at each threshold with its interval, drops and times, starting angles, and each family's share.

    The first of ``results`` is the controller that is judged; the others stand beside it.
    """
    console = Console()
    scores = next(iter(results.values()))
    console.print(_table(task, results))
    spread = ", ".join(f"{low:.1f} to {high:.1f}: {count}" for low, high, count in angle_histogram(scores))
    console.print(f"starting angles, rad: {spread}")
    families: dict[str, list[EpisodeScore]] = {}
    for score in scores:
        families.setdefault(family_of(score.object_name), []).append(score)
    for family, own in families.items():
        console.print(f"  {family}: {sum(s.succeeded(0.4) for s in own)} of {len(own)} within 0.4 rad")


def _table(task: ReorientTask, results: dict[str, list[EpisodeScore]]) -> Table:
    (controller, scores), *others = results.items()
    figures, intervals = figures_of(scores)
    beside = [figures_of(played)[0] for _, played in others]
    what = f"{task.objects} objects, {task.world}, {task.hand}, rung {task.rung}, {task.state} state"
    table = Table(title=f"reorientation by {controller}: {len(scores)} episodes; {what}; seed {task.seed}")
    for heading in ("", controller, "95% interval", *(name for name, _ in others)):
        table.add_column(heading, justify="right" if heading else "left")
    names = [f"success_{t:g}".replace(".", "p") for t in THRESHOLDS] + ["drop_rate"]
    labels = [f"within {t:g} rad, still" for t in THRESHOLDS] + ["dropped"]
    for name, label in zip(names, labels, strict=True):
        low, high = intervals[name]
        table.add_row(label, f"{figures[name]:.0%}", f"{low:.0%} to {high:.0%}", *(f"{f[name]:.0%}" for f in beside))
    for name, label in CHAINED:
        if np.isfinite(figures.get(name, np.nan)):
            low, high = intervals[name]
            shares = (f"{f[name]:.0%}" if np.isfinite(f.get(name, np.nan)) else "" for f in beside)
            table.add_row(label, f"{figures[name]:.0%}", f"{low:.0%} to {high:.0%}", *shares)
    if "goals_in_a_row" in figures:
        table.add_row("goals in a row", f"{figures['goals_in_a_row']:.1f}")
    table.add_row("median time to success", f"{figures['median_time_s']:.1f} s")
    table.add_row("median time, failures as 15 s", f"{figures['median_time_all_s']:.1f} s")
    table.add_row("processor time an episode", f"{figures['cpu_s_per_episode']:.1f} s")
    for name, label, unit in PERCEIVED:
        if name in figures:
            table.add_row(label, f"{figures[name]:.1%}" if unit == "" else f"{figures[name]:.1f} {unit}")
    table.add_row("real-time factor", f"{figures['real_time_factor']:.2f}")
    return table
