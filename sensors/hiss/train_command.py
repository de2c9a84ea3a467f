"""``knuckle train hiss``: learns until it or its minutes are over, goes on with a run that is there, leaves a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from knuckle.sensors.hiss.run_folder import RunFolder
    from knuckle.sensors.hiss.tasks import Task
    from knuckle.sensors.hiss.train_config import Training
    from knuckle.sensors.hiss.trainer import Trainer


@dataclass(frozen=True)
class TrainHiss:
    """Learn states from a sensor's stream, by HiSS or a flat model. The same command goes on with a run that ended."""

    task: str = setting("velocity", "velocity, orientation, skin, or table: your own CSV or MCAP")
    model: str = setting("hiss:lstm/lstm", "hiss:HIGH/LOW or flat:FAMILY: lstm gru transformer s4 s4d mamba mamba2")
    data: str = setting("", "folder of the recordings (for table: or one file); the task's in KNUCKLE_DATA if empty")
    run: str = setting("", "folder of the run; runs/hiss-TASK-MODEL-sSEED if empty")
    options: str = setting("", "options of the task: frame=body")
    inputs: str = setting("", "table: columns to read, a,b,c; of an MCAP file /topic:field.x")
    targets: str = setting("", "table: columns to learn")
    time: str = setting("", "table: the column of time, in s (t if empty; a name in _ms, _us, _ns is in that unit)")
    rate: float = setting(0.0, "table: samples per second of the model, 0: 50", low=0.0, high=10_000.0, unit="Hz")
    set: str = setting("", "settings that differ: epochs=40,width=128,low_pass=causal")
    minutes: float = setting(0.0, "minutes of training in all, 0: as long as it takes", low=0.0, high=100_000.0)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    threads: int = setting(1, "threads of torch; with one a run goes on bit for bit", low=1, high=256)
    left_out: int = setting(
        0,
        "epochs of one more training for each group that teaches, without it: the widest error of all kinds, not of "
        "the validation part alone, mends the covariance; 0: none",
        low=0,
        high=100_000,
    )
    settings: bool = setting(False, "list what --set can change, and end")


def train_hiss(argv: list[str]) -> int:
    """Run ``knuckle train hiss``. Raises InputError for a name, setting or folder that cannot be used."""
    config = parse_arguments(TrainHiss, argv, "knuckle train hiss")
    from rich.console import Console

    from knuckle.sensors.hiss.run_folder import RunFolder
    from knuckle.sensors.hiss.settings_table import settings_table
    from knuckle.sensors.hiss.splits import divide, groups_that_teach
    from knuckle.sensors.hiss.tasks import open_task
    from knuckle.sensors.hiss.trial import require_something_to_learn, require_varied

    console = Console()
    task = open_task(config.task, task_options(config))
    training = training_for(config, task)
    if config.settings:
        console.print(settings_table(training))
        return 0
    source = data_folder(config.data, task.name)
    with console.status("reading recordings"):
        parts = divide(task.load_training(source), task.split, where=str(source))
    for trial in (*parts.train, *parts.validation, *parts.test):
        require_varied(trial, task.channels, task.derived)
    require_something_to_learn(parts.train, task.channels)
    if config.left_out:
        groups_that_teach(parts)
    slug = training.model.replace(":", "-").replace("/", "-")
    folder = RunFolder(Path(config.run or f"runs/hiss-{task.name}-{slug}-s{config.seed}"))
    if folder.begun:
        folder.require_same(training)
    import torch

    from knuckle.sensors.hiss.finish import leave_model
    from knuckle.sensors.hiss.left_out import misses_left_out
    from knuckle.sensors.hiss.trainer import Trainer

    torch.set_num_threads(config.threads)
    trainer = Trainer(training, task.channels, parts, task.augment, task.candidates, task.prior)
    if not folder.begun:
        folder.begin(training)
    folder.lock()
    console.print(
        f"{training.model}, {trainer.parameters} parameters, {len(trainer.trials)} trials; run in {folder.path}",
        soft_wrap=True,
    )
    try:
        learn(trainer, folder, config.minutes or math.inf, console)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from the last checkpoint")
        raise
    left_out = None
    if config.left_out:
        left_out = misses_left_out(training, task, parts, config.left_out, folder, console)
    leave_model(trainer, folder, task, parts, console, left_out)
    return 0


def task_options(config: TrainHiss) -> dict[str, str]:
    """The task's options from all the flags that hold them."""
    given = {"inputs": config.inputs, "targets": config.targets, "time": config.time}
    given["rate"] = f"{config.rate:g}" if config.rate else ""
    return parse_pairs(config.options, where="--options") | {name: text for name, text in given.items() if text}


def training_for(config: TrainHiss, task: Task) -> Training:
    """All settings of the run that the command's words ask for."""
    from knuckle.sensors.hiss.model_name import model_name
    from knuckle.sensors.hiss.train_config import ModelConfig, Training, changed

    training = Training(
        task=dict(task.facts),
        model=str(model_name(config.model)),
        sizes=ModelConfig(),
        features=task.features,
        learn=task.learn,
        seed=config.seed,
    )
    return changed(training, parse_pairs(config.set, where="--set"))


def data_folder(given: str, task: str) -> Path:
    """The folder of recordings: ``given``, or the task's below KNUCKLE_DATA. InputError where it is not there."""
    import os

    names = {"velocity": "broad", "orientation": "broad", "skin": "skin"}
    root = os.environ.get("KNUCKLE_DATA", "")
    if not given and not (root and task in names):
        right = "--data FOLDER, or KNUCKLE_DATA set to the folder that has it"
        raise InputError(f"no recordings for the task {task}", where="--data", right=right)
    folder = Path(given) if given else Path(root) / names[task]
    if not folder.exists():
        raise InputError("there is no such folder", where=str(folder), right="--data with a folder of recordings")
    return folder


def learn(
    trainer: Trainer,
    folder: RunFolder,
    minutes: float,
    console: Console,
    *,
    updates: int = 1 << 40,
    told: Callable[[dict[str, float]], object] = lambda row: None,
) -> None:
    """Train until all epochs, ``minutes`` or ``updates`` in all are done, from the folder's checkpoint if there is one.

    ``told`` is called with the figures of each update.
    """
    from knuckle.sensors.hiss.board import Board
    from knuckle.sensors.hiss.progress_view import ProgressView
    from knuckle.sensors.hiss.run_folder import BOARD, CHECKPOINT

    before = folder.checkpoint()
    if before is not None:
        trainer.restore(*before, where=str(folder.path / CHECKPOINT))
        console.print(f"goes on after update {trainer.updates}, epoch {trainer.epoch}", soft_wrap=True)
    history, learn = folder.cut(trainer.epoch), trainer.training.learn
    title = f"{trainer.training.model} on {trainer.training.task['name']}"
    with (
        Board(folder.path / BOARD, trainer.updates) as board,
        ProgressView(console, title, learn.epochs, history) as view,
    ):
        while not trainer.over and trainer.spent_s < 60.0 * minutes and trainer.updates < updates:
            row = trainer.update()
            told(row)
            board.note(row)
            view.show(row, trainer.epochs_done, minutes - trainer.spent_s / 60.0)
            ended = "epoch" in row
            if ended:
                folder.note(row)
            if ended or trainer.updates % learn.checkpoint_every == 0:
                folder.keep(*trainer.capture())
        folder.keep(*trainer.capture())
