"""The end of a run in hindsight: its policy is exported as any other, and judged by the protocol."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from knuckle.policy.evaluation import evaluate
from knuckle.policy.hindsight.hindsight_run import HindsightRun
from knuckle.policy.learned.export import export_policy, write_scores
from knuckle.policy.reorient_score import figures_of
from knuckle.policy.reorient_task import ReorientTask


def export(run: HindsightRun, folder: Path) -> None:
    """Write the run's policy to ``folder``; RunError where it differs from what was trained."""
    settings = run.run
    facts: dict[str, Any] = settings.facts() | {
        "method": "TD3 with hindsight goals and the planner's episodes",
        "began_as": run.warm.name,
        "updates": run.updates,
        "steps": run.steps,
        "planner_steps": len(run.planner) if run.planner is not None else 0,
        "cpu_hours": round(run.cpu_s / 3600, 4),
        "versions": {name: version(name) for name in ("knuckle", "mujoco", "torch")},
    }
    export_policy(
        folder,
        run.hand,
        run.actor(),
        name="hindsight",
        observed=run.observed(),
        training=facts,
        data=f"{run.steps} simulated control steps on {', '.join(settings.objects)}, {facts['planner_steps']} shown",
        done=run.done,
        seed=settings.seed,
    )


def judge_policy(run: HindsightRun, folder: Path, rungs: list[str], episodes: int, console: Console) -> None:
    """Play ``episodes`` of the protocol on each of ``rungs`` with the policy in ``folder``; noted in its card."""
    for rung in rungs if episodes else []:
        task = ReorientTask(str(folder), hand=run.hand.name, rung=rung, objects=run.run.config.objects)
        figures, intervals = figures_of(evaluate(task, episodes, jobs=run.run.threads)[task.controller])
        protocol = f"{rung}, {task.objects}, table, privileged, {episodes} episodes, seed {task.seed}"
        write_scores(folder, run.hand, protocol, figures)
        low, high = intervals["success_0p4"]
        console.print(
            f"{rung}: {figures['success_0p4']:.0%} [{low:.0%}, {high:.0%}] within 0.4 rad by all five conditions, "
            f"{figures['drop_rate']:.0%} dropped",
            soft_wrap=True,
            highlight=False,
        )
