"""The end of a training run: its policy is exported, judged by the protocol and filmed."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from rich.console import Console

from knuckle.core.errors import KnuckleError
from knuckle.core.figures import wilson
from knuckle.policy.evaluation import evaluate
from knuckle.policy.learned.export import export_policy, write_scores
from knuckle.policy.learned.run_folder import VIDEO, RunFolder
from knuckle.policy.learned.trainer import Trainer
from knuckle.policy.learned.warm_start import write_learner
from knuckle.policy.reorient_score import figures_of
from knuckle.policy.reorient_task import ReorientTask


def leave_policy(
    trainer: Trainer, folder: RunFolder, preset: str, episodes: int, video: bool, console: Console
) -> None:
    """Export to the folder's policy, play ``episodes`` of the protocol on the newest rung, film the first of them."""
    export(trainer, folder, preset)
    console.print(f"{trainer.cpu_s / 3600:.2f} CPU-hours of training; policy in {folder.policy}", soft_wrap=True)
    task = ReorientTask(
        controller=str(folder.policy),
        world=trainer.training.ppo.surface,
        hand=trainer.hand.name,
        objects=trainer.training.ppo.objects,
        rung=trainer.curriculum.newest,
        seed=1,
    )
    if episodes:
        scores = evaluate(task, episodes, jobs=trainer.training.threads)[task.controller]
        figures, _ = figures_of(scores)
        protocol = f"{task.rung}, {task.objects}, {task.world}, privileged, {episodes} episodes, seed {task.seed}"
        write_scores(folder.policy, trainer.hand, protocol, figures)
        low, high = wilson(round(figures["success_0p4"] * episodes), episodes)
        console.print(
            f"{figures['success_0p4']:.0%} [{low:.0%}, {high:.0%}] within 0.4 rad by all five conditions, "
            f"{figures['drop_rate']:.0%} dropped: {protocol}",
            soft_wrap=True,
        )
    if video:
        _film(task, folder, console)


def export(trainer: Trainer, folder: RunFolder, preset: str) -> None:
    """Write the trainer's policy to the folder; RunError where it differs from what was trained."""
    training = trainer.training
    facts: dict[str, Any] = training.facts() | {
        "method": "PPO, stable-baselines3",
        "updates": trainer.updates,
        "steps": trainer.steps,
        "cpu_hours": round(trainer.cpu_s / 3600, 4),
        "rung": trainer.curriculum.newest,
        "versions": {name: version(name) for name in ("knuckle", "mujoco", "stable-baselines3", "torch")},
    }
    export_policy(
        folder.policy,
        trainer.hand,
        trainer.actor(),
        name=f"ppo-{preset}",
        observed=trainer.observed(),
        training=facts,
        data=f"{trainer.steps} simulated control steps on {', '.join(training.objects)}",
        done=training.done,
        seed=training.seed,
    )
    write_learner(trainer, folder.policy)


def _film(task: ReorientTask, folder: RunFolder, console: Console) -> None:
    """A film of one episode. Where none can be made the policy is there all the same."""
    from knuckle.policy.episode_video import film_episode

    start = task.starts(1)[0]
    try:
        film_episode(task, start, task.policy(0), folder.path / VIDEO)
    except (KnuckleError, ModuleNotFoundError) as error:
        console.print(f"no video: {error}")
        return
    console.print(f"video in {folder.path / VIDEO}", soft_wrap=True)
