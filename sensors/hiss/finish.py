"""The end of a training run: the best model, its covariance mended on what it has not seen, is left in the folder."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from knuckle.sensors.hiss.coverage import coverage, temperature_of
from knuckle.sensors.hiss.left_out import distances, widest
from knuckle.sensors.hiss.model_files import save_model
from knuckle.sensors.hiss.predict import Array, mean_squared_error, outputs
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.tasks import Task
from knuckle.sensors.hiss.trainer import Trainer


def leave_model(
    trainer: Trainer,
    folder: RunFolder,
    task: Task,
    parts: Parts,
    console: Console,
    left_out: Mapping[str, Array] | None = None,
) -> None:
    """Fit the temperature and write the model with its validation figures; the test part is not looked at.

    The temperature is that of the validation part or, with `distances_left_out`, the widest of all kinds.
    """
    trainer.restore_best()
    targets, squared = len(task.channels.targets), distances(trainer, parts.validation)
    groups = {"validation": squared, **(left_out or {})}
    by, temperature = widest(groups, targets) if left_out else ("validation", temperature_of(squared, targets))
    before, after = coverage(squared, targets, 1.0), coverage(squared, targets, temperature)
    mse = mean_squared_error(outputs(trainer.model, trainer.validation), trainer.validation, trainer.targets)
    figures = {"mse": mse} | {f"coverage_{round(100 * level)}": share for level, share in after.items()}
    figures |= {f"coverage_{round(100 * level)}_before": share for level, share in before.items()}
    scores = {"validation": figures}
    for group, own in (left_out or {}).items():
        covered = coverage(own, targets, temperature)
        scores[f"left out {group}"] = {f"coverage_{round(100 * level)}": share for level, share in covered.items()}
    card = save_model(folder.path / MODEL, trainer, task, parts, temperature, scores)
    if card.config["not_exported"]:
        console.print(f"not exported, it cannot be streamed: {card.config['not_exported']}", soft_wrap=True)
    shares = ", ".join(f"{level:.0%}: {before[level]:.0%} then {after[level]:.0%}" for level in after)
    console.print(
        f"validation MSE {mse:.6g} (epoch {trainer.best_epoch}); coverage {shares} "
        f"(temperature {temperature:.2f}, by {by}); "
        f"{trainer.cpu_s / 3600:.3f} CPU-hours; model in {folder.path / MODEL}",
        soft_wrap=True,
    )
