"""What a data set holds: a table, bars in the terminal and an SVG of its returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.figures import wilson
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.environments import task_of
from knuckle.policy.offline_data.reward_scale import flat_share, flat_warning, scaled_rewards
from knuckle.policy.svg_plot import Axis, Panel, bar

if TYPE_CHECKING:
    from rich.console import Console

BINS, WIDTH = 12, 40


@dataclass(frozen=True)
class Described:
    """``figures`` (name to number) and ``intervals`` of a data set; ``notes``, lines that warn; the histogram of its
    returns."""

    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    notes: tuple[str, ...]
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]


def describe_data(data: Dataset) -> Described:
    """What ``data``, unscaled, holds. Every number in it is finite: it would not have been read otherwise."""
    returns = data.returns()
    lengths = np.array([len(episode) for episode in data.episodes])
    rewards = np.concatenate([episode.rewards for episode in data.episodes])
    actions = np.concatenate([episode.actions for episode in data.episodes])
    terminated = sum(episode.terminated for episode in data.episodes)
    limited = sum(bool(e.facts.get("time_limit", False)) and not e.terminated for e in data.episodes)
    edge = np.isclose(actions, data.low, atol=1e-3) | np.isclose(actions, data.high, atol=1e-3)
    figures: dict[str, float] = {
        "episodes": len(lengths),
        "steps": int(lengths.sum()),
        "observation_width": data.observations,
        "action_width": data.actions,
        "terminated": terminated,
        "truncated": len(lengths) - terminated,
        "truncated_by_time_limit": limited,
    }
    for name, values in (("return", returns), ("length", lengths), ("reward", rewards)):
        figures |= {f"{name}_{stat}": float(getattr(values, stat)()) for stat in ("mean", "std", "min", "max")}
    figures["return_median"] = float(np.median(returns))
    figures["actions_at_bound_share"] = float(edge.mean())
    figures["observation_largest"] = max(float(np.abs(episode.observations).max()) for episode in data.episodes)
    figures["not_finite"] = 0
    intervals: dict[str, tuple[float, float]] = {}
    known = [episode.succeeded for episode in data.episodes if episode.succeeded is not None]
    if known:
        figures["succeeded"] = sum(known)
        intervals["success_rate"] = wilson(sum(known), len(known))
        figures["success_rate"] = sum(known) / len(known)
    task, notes = task_of(data.environment), []
    if task is not None and (score := task.normalised(float(returns.mean()))) is not None:
        figures["normalised_return_mean"] = score
    if returns.max() > returns.min():
        scaled = np.concatenate(scaled_rewards([e.rewards for e in data.episodes], "return_range", where=data.name)[0])
        figures["flat_share_return_range"] = flat_share(scaled)
        notes.append(flat_warning(scaled, what="rewards, scaled by return range,"))
    notes.append(flat_warning(rewards, what="rewards as recorded"))
    still = [k for k in range(data.observations) if _still(data, k)]
    if still:
        notes.append(f"observations {', '.join(map(str, still))} never change")
    counts, edges = np.histogram(returns, bins=min(BINS, len(np.unique(returns))))
    return Described(figures, intervals, tuple(note for note in notes if note), counts, edges)


def _still(data: Dataset, column: int) -> bool:
    first = data.episodes[0].observations[0, column]
    return all(bool((episode.observations[:, column] == first).all()) for episode in data.episodes)


def print_description(data: Dataset, told: Described, console: Console) -> None:
    """The table, the bars and the notes."""
    from rich.table import Table

    table = Table(title=f"{data.name}{f', {data.environment}' if data.environment else ''}", show_header=True)
    for column in ("", "mean", "std", "min", "max"):
        table.add_column(column, justify="left" if not column else "right")
    figures = told.figures
    for name in ("return", "length", "reward"):
        table.add_row(name, *(f"{figures[f'{name}_{stat}']:.4g}" for stat in ("mean", "std", "min", "max")))
    console.print(table)
    lines = [
        f"{figures['episodes']} episodes, {figures['steps']} steps; "
        f"{figures['observation_width']} observations, {figures['action_width']} actions",
        f"{figures['terminated']} terminated, {figures['truncated']} truncated "
        f"({figures['truncated_by_time_limit']} by the time limit); no NaN",
        f"{figures['actions_at_bound_share']:.1%} of actions at a bound; "
        f"observations up to {figures['observation_largest']:.4g}",
    ]
    if "succeeded" in figures:
        low, high = told.intervals["success_rate"]
        lines.append(f"{figures['succeeded']} succeeded, {figures['success_rate']:.0%} [{low:.0%}, {high:.0%}]")
    if "normalised_return_mean" in figures:
        lines.append(f"normalised return {figures['normalised_return_mean']:.1f} (D4RL: random 0, expert 100)")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    most = max(int(told.counts.max()), 1)
    console.print("episodes by return", style="bold")
    for k, n in enumerate(told.counts.tolist()):
        drawn = "█" * round(WIDTH * n / most)
        label = f"{told.edges[k]:.4g} to {told.edges[k + 1]:.4g}"
        console.print(f"  {label:22} {drawn:{WIDTH}} {n}", highlight=False, soft_wrap=True)
    for note in told.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)


def returns_plot(data: Dataset, told: Described) -> str:
    """An SVG: episodes over their return."""
    low, high = float(told.edges[0]), float(told.edges[-1])
    ticks = tuple((float(v), f"{v:.4g}") for v in np.linspace(low, high, 5))
    most = max(int(told.counts.max()), 1)
    rows = sorted({0, math.ceil(most / 2), most})
    y = Axis(0.0, float(most), tuple((float(v), str(v)) for v in rows), "episodes")
    panel = Panel(Axis(low, high, ticks, "return"), y)
    bars = [
        bar(
            panel.px(float(told.edges[k])) + 1,
            panel.px(float(told.edges[k + 1])) - 1,
            panel.py(n),
            panel.py(0.0),
            "#2b6cb0",
        )
        for k, n in enumerate(told.counts.tolist())
    ]
    return panel.image(f"Returns of {data.name}", bars)


def description_of(data: Dataset) -> dict[str, Any]:
    """The figures of `describe_data`, for what is written beside a recording."""
    return dict(describe_data(data).figures)
