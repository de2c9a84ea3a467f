"""The end of a training run: the best model, its covariance mended on the validation part, is left in the folder."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from knuckle.sensors.hiss import gaussian_factors
from knuckle.sensors.hiss.coverage import coverage, temperature_of
from knuckle.sensors.hiss.model_files import save_model
from knuckle.sensors.hiss.pieces import Piece
from knuckle.sensors.hiss.predict import Array, mean_squared_error, outputs
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.tasks import Task
from knuckle.sensors.hiss.trainer import Trainer


def leave_model(trainer: Trainer, folder: RunFolder, task: Task, parts: Parts, console: Console) -> None:
    """Fit the temperature and write the model with its validation figures; the test part is not looked at."""
    trainer.restore_best()
    raws = outputs(trainer.model, trainer.validation)
    squared = np.concatenate(
        [scored_distances(raw, p, trainer) for raw, p in zip(raws, trainer.validation, strict=True)]
    )
    targets = len(task.channels.targets)
    temperature = temperature_of(squared, targets)
    before, after = coverage(squared, targets, 1.0), coverage(squared, targets, temperature)
    mse = mean_squared_error(raws, trainer.validation, trainer.targets)
    figures = {"mse": mse} | {f"coverage_{round(100 * level)}": share for level, share in after.items()}
    figures |= {f"coverage_{round(100 * level)}_before": share for level, share in before.items()}
    card = save_model(folder.path / MODEL, trainer, task, parts, temperature, {"validation": figures})
    if card.config["not_exported"]:
        console.print(f"not exported, it cannot be streamed: {card.config['not_exported']}", soft_wrap=True)
    shares = ", ".join(f"{level:.0%}: {before[level]:.0%} then {after[level]:.0%}" for level in after)
    console.print(
        f"validation MSE {mse:.6g} (epoch {trainer.best_epoch}); coverage {shares} (temperature {temperature:.2f}); "
        f"{trainer.cpu_s / 3600:.3f} CPU-hours; model in {folder.path / MODEL}",
        soft_wrap=True,
    )


def scored_distances(raw: Array, piece: Piece, trainer: Trainer) -> Array:
    """Squared Mahalanobis distances of the scored targets of a piece."""
    return gaussian_factors.distances(raw[piece.scored], trainer.targets(piece.targets[piece.scored]))
