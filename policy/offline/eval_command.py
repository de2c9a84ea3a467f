"""``knuckle eval offline``: learners beside each other on one task's data, or the study of the point in the plane."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting
from knuckle.core.errors import InputError, unknown_name

if TYPE_CHECKING:
    from rich.console import Console

Figured = tuple[dict[str, float], dict[str, tuple[float, float]]]
STUDIES = ("navigation",)


@dataclass(frozen=True)
class EvalOffline:
    """Compare learners from recorded data by their last checkpoint. The same command goes on where it was stopped."""

    study: str = setting("", "navigation: the point in the plane; empty: a task")
    task: str = setting("", "hopper, walker2d, door, door-300, pointmaze or reorient-yaw60")
    data: str = setting(
        "", "what to learn from, as knuckle data show takes it; NAME:10 is episode 10 alone; several with + between"
    )
    learners: str = setting(
        "bc+iql+td3-bc+odice", "learners with + between; nearest-replay and shuffled-actions must lose"
    )
    lambdas: str = setting("0.4+0.45+0.5+0.55+0.6", "what O-DICE's lambda is chosen from; empty: its default")
    seeds: int = setting(5, "runs of each learner", low=1, high=1000)
    steps: int = setting(50_000, "steps of learning a run", low=1, high=100_000_000)
    choice_steps: int = setting(10_000, "steps of a run that lambda is chosen by", low=1, high=100_000_000)
    episodes: int = setting(10, "episodes a run is judged by", low=1, high=10_000)
    set: str = setting("", "settings that differ, by learner: iql.beta=10,odice.observations=scaled")
    out: str = setting("", "folder of the runs; runs/offline-STUDY or runs/offline-TASK if empty")
    picture: str = setting("", "file to write the figure to, SVG; in the folder of the runs if empty")
    json: str = setting("", "file to write the figures to")


def eval_offline(argv: list[str]) -> int:
    """Run ``knuckle eval offline``. Raises InputError for a name, data or a folder that cannot be used."""
    config = parse_arguments(EvalOffline, argv, "knuckle eval offline")
    import torch
    from rich.console import Console

    from knuckle.core.figures import Figures, require_writable

    torch.set_num_threads(1)
    console = Console()
    if bool(config.study) == bool(config.task):
        raise InputError(
            "a study or a task is wanted", where="eval offline", right="--study navigation, or --task hopper"
        )
    if config.study and config.study not in STUDIES:
        raise unknown_name("study", config.study, STUDIES, where="--study")
    folder = Path(config.out or f"runs/offline-{config.study or config.task}")
    picture = Path(config.picture) if config.picture else folder / "figure.svg"
    for path in (picture, *([Path(config.json)] if config.json else [])):
        require_writable(path)
    figures, intervals = (_study if config.study else _task)(config, folder, picture, console)
    console.print(f"figure in {picture}", soft_wrap=True)
    if config.json:
        command = ["knuckle", "eval", "offline", *argv]
        Figures(command, asdict(config), 0, config.seeds, figures, intervals).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0


def _study(config: EvalOffline, folder: Path, picture: Path, console: Console) -> Figured:
    import numpy as np
    from rich.table import Table

    from knuckle.core.figures import write_text
    from knuckle.policy.offline.navigation.study import ARMS, run_study
    from knuckle.policy.offline.navigation.world import recorded_walks
    from knuckle.policy.offline.plots import value_maps

    study = run_study(config.seeds, folder, lambda line: console.print(line, style="dim", soft_wrap=True))
    figures, intervals = study.figures()
    shown = ("success_clean", "success_mild", "success_noise", "path_steps", "value_unseen_z", "value_unseen_max_z")
    _print(console, list(ARMS), shown, figures, intervals)
    console.print("what lambda was chosen from, and what else these fits would have come to (means over their seeds):")
    tried = Table(
        "", "chosen from", "held-out share", "held-out error", "success_clean", "success_noise", "path_steps", box=None
    )
    for name, choices in study.tried.items():
        for choice, results in choices.items():
            known = {
                key: [r["figures"].get(key) for r in results]
                for key in ("success_clean", "success_noise", "path_steps")
            }
            means = [np.mean([v for v in values if v is not None] or [np.nan]) for values in known.values()]
            error = float(np.mean([r["held_error"] for r in results]))
            share = float(np.mean([r["held_share"] for r in results]))
            tried.add_row(name, choice, f"{share:.2f}", f"{error:.3f}", *(f"{mean:.2f}" for mean in means))
    console.print(tried)
    planes = {name: np.array(found[0]["plane"]) for name, found in study.results.items() if "plane" in found[0]}
    seen = recorded_walks(0).observations[::4].astype(np.float64)
    write_text(picture, value_maps(planes, seen, "the value over the plane, seed 0; dots: what was recorded") + "\n")
    return figures, intervals


def _task(config: EvalOffline, folder: Path, picture: Path, console: Console) -> Figured:
    from knuckle.core.figures import write_text
    from knuckle.policy.offline.comparison import CONTROLS, Comparison, compare, figures_of
    from knuckle.policy.offline.learners import LEARNERS
    from knuckle.policy.offline.plots import Bar, interval_plot
    from knuckle.policy.offline_data.dataset import merged
    from knuckle.policy.offline_data.environments import offline_task
    from knuckle.policy.offline_data.open_data import open_data

    task = offline_task(config.task, where="--task")
    learners = [name for name in config.learners.split("+") if name]
    for name in learners:
        if name not in LEARNERS and name not in CONTROLS:
            raise unknown_name("learner", name, [*LEARNERS, *CONTROLS], where="--learners")
    if not config.data:
        raise InputError("no data", where="--data", right="what knuckle data show takes")
    comparison = Comparison(
        task,
        merged([open_data(source) for source in config.data.split("+")]),
        learners,
        config.seeds,
        config.steps,
        config.episodes,
        folder,
        [lam for lam in config.lambdas.split("+") if lam],
        config.choice_steps,
        parse_pairs(config.set, where="--set"),
    )
    rows = compare(comparison, lambda line: console.print(line, style="dim", soft_wrap=True))
    figures, intervals = figures_of(rows, task)
    figures["learning_cpu_s"] = sum(1e-3 * row.step_cpu_ms * len(row.returns) * config.steps for row in rows)
    console.print(f"learning, without choosing lambda: {figures['learning_cpu_s']:.0f} CPU-seconds", highlight=False)
    names = [name.replace("-", "_") for name in learners]
    _print(console, names, ("return", "score", "success", "lambda", "step_cpu_ms"), figures, intervals)
    kind = "score" if task.references is not None else "success" if task.success else "return"
    keys = [(name, f"{kind}_{name.replace('-', '_')}") for name in learners]
    bars = [Bar(name, figures[key], *intervals[key]) for name, key in keys if key in intervals]
    title = f"{config.task}: {comparison.data.name}, {config.seeds} seeds, 95% bootstrap"
    write_text(picture, interval_plot(title, {"score": "normalised score"}.get(kind, kind), bars) + "\n")
    return figures, intervals


def _print(
    console: Console,
    arms: list[str],
    shown: tuple[str, ...],
    figures: dict[str, float],
    intervals: dict[str, tuple[float, float]],
) -> None:
    """The table: a row an arm, a mean and its interval a column; columns that nobody has are left out."""
    from rich.table import Table

    columns = [name for name in shown if any(f"{name}_{arm}" in figures for arm in arms)]
    table = Table("", *columns, box=None, pad_edge=False)
    for arm in arms:
        cells = []
        for name in columns:
            key = f"{name}_{arm}"
            bounds = f" [{intervals[key][0]:.2f}, {intervals[key][1]:.2f}]" if key in intervals else ""
            cells.append(f"{figures[key]:.2f}{bounds}" if key in figures else "")
        table.add_row(arm, *cells)
    console.print(table)
