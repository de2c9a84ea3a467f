"""The end of a training run: the best model, its covariance mended on what it has not seen, is left in the folder."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from knuckle.sensors.hiss.coverage import coverage
from knuckle.sensors.hiss.left_out import misses
from knuckle.sensors.hiss.model_files import save_model
from knuckle.sensors.hiss.predict import mean_squared_error, outputs
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.spread import Misses, Spread, spread_of, widest_spread
from knuckle.sensors.hiss.tasks import Task
from knuckle.sensors.hiss.trainer import Trainer


def leave_model(
    trainer: Trainer,
    folder: RunFolder,
    task: Task,
    parts: Parts,
    console: Console,
    left_out: Mapping[str, Misses] | None = None,
) -> None:
    """Fit the spread and write the model with its validation figures; the test part is not looked at.

    The spread is the validation part's one temperature or, with `misses_left_out`, the widest of all kinds.
    """
    trainer.restore_best()
    targets, seen = len(task.channels.targets), misses(trainer, parts.validation)
    groups = {"validation": seen, **(left_out or {})}
    by, spread = widest_spread(groups, targets) if left_out else ("validation", spread_of(seen, targets))
    before, after = (coverage(each.distances(seen), targets) for each in (Spread(), spread))
    mse = mean_squared_error(outputs(trainer.model, trainer.validation), trainer.validation, trainer.targets)
    figures = {"mse": mse} | {f"coverage_{round(100 * level)}": share for level, share in after.items()}
    figures |= {f"coverage_{round(100 * level)}_before": share for level, share in before.items()}
    scores = {"validation": figures}
    for group, own in (left_out or {}).items():
        covered = coverage(spread.distances(own), targets)
        scores[f"left out {group}"] = {f"coverage_{round(100 * level)}": share for level, share in covered.items()}
    card = save_model(folder.path / MODEL, trainer, task, parts, spread, scores)
    if card.config["not_exported"]:
        console.print(f"not exported, it cannot be streamed: {card.config['not_exported']}", soft_wrap=True)
    shares = ", ".join(f"{level:.0%}: {before[level]:.0%} then {after[level]:.0%}" for level in after)
    console.print(
        f"validation MSE {mse:.6g} (epoch {trainer.best_epoch}); coverage {shares} "
        f"(temperature {spread.temperature:.2f}, growth {spread.growth:.3g}, by {by}); "
        f"{trainer.cpu_s / 3600:.3f} CPU-hours; model in {folder.path / MODEL}",
        soft_wrap=True,
    )
