"""``knuckle train reorient``: learns until its minutes are over, goes on with a run that is there, leaves a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting
from knuckle.core.errors import InputError
from knuckle.policy.learned.matrix_threads import one_matrix_thread

if TYPE_CHECKING:
    from rich.console import Console

    from knuckle.policy.learned.run_folder import RunFolder
    from knuckle.policy.learned.trainer import Trainer


@dataclass(frozen=True)
class TrainReorient:
    """Learn to turn objects by PPO. The same command goes on with a run that ended early."""

    preset: str = setting("quick", "one object and near goals, or all of them", choices=("quick", "full"))
    run: str = setting("", "folder of the run; runs/reorient-PRESET if empty")
    hand: str = setting("dclaw3", "the hand: dclaw3 or dclaw4")
    minutes: float = setting(0.0, "minutes of training in all, 0: the preset's", low=0.0, high=100_000.0)
    set: str = setting("", "settings that differ: worlds=512,rungs=yaw60+60,reward.energy=-0.02,done.steps=3")
    threads: int = setting(2, "threads of worlds", low=1, high=256)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    episodes: int = setting(50, "episodes of the protocol at the end", low=0, high=100_000)
    video: bool = setting(True, "film an episode at the end")
    settings: bool = setting(False, "list what --set can change, and end")


def train_reorient(argv: list[str]) -> int:
    """Run ``knuckle train reorient``. Raises InputError for a setting or a folder that cannot be used."""
    config = parse_arguments(TrainReorient, argv, "knuckle train reorient")
    one_matrix_thread()
    from rich.console import Console

    from knuckle.policy.learned.run_folder import FAULTS, RunFolder
    from knuckle.policy.learned.train_config import PRESETS, make_training
    from knuckle.policy.learned.training_settings import settings_table

    console = Console()
    training = make_training(
        config.preset, config.hand, parse_pairs(config.set, where="--set"), threads=config.threads, seed=config.seed
    )
    if config.settings:
        console.print(settings_table(training))
        return 0
    minutes = config.minutes or PRESETS[config.preset].minutes
    folder = RunFolder(Path(config.run or f"runs/reorient-{config.preset}"))
    if folder.begun:
        folder.require_same(training)
    else:
        folder.begin(training)
    folder.lock()
    from knuckle.policy.learned.finish import export, leave_policy
    from knuckle.policy.learned.trainer import Trainer

    console.print(
        f"{training.ppo.worlds} worlds, {len(training.objects)} objects; run in {folder.path}", soft_wrap=True
    )
    trainer = Trainer(training, fault_folder=folder.path / FAULTS)
    try:
        learn(trainer, folder, minutes, console, kept=lambda: export(trainer, folder, config.preset))
        leave_policy(trainer, folder, config.preset, config.episodes, config.video, console)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from the last checkpoint")
        raise
    finally:
        trainer.close()
    return 0


def learn(
    trainer: Trainer,
    folder: RunFolder,
    minutes: float,
    console: Console,
    *,
    updates: int = 1 << 40,
    kept: Callable[[], object] = lambda: None,
) -> None:
    """Train until ``minutes`` or ``updates`` in all are done, from the folder's checkpoint where there is one.

    ``kept`` is called after each checkpoint. InputError where all is done already.
    """
    from knuckle.policy.learned.board import Board
    from knuckle.policy.learned.progress_view import ProgressView
    from knuckle.policy.learned.run_folder import BOARD, CHECKPOINT

    before = folder.checkpoint()
    if before is not None:
        trainer.restore(*before, where=str(folder.path / CHECKPOINT))
        console.print(f"goes on after update {trainer.updates}, {trainer.spent_s / 60:.1f} min")
    if trainer.spent_s >= 60.0 * minutes or trainer.updates >= updates:
        what = f"the run has had its {trainer.spent_s / 60:.1f} min"
        raise InputError(what, where=str(folder.path), right="more --minutes to go on, or another --run")
    history, ppo = folder.cut(trainer.updates), trainer.training.ppo
    title = f"PPO on {trainer.hand.name}"
    with Board(folder.path / BOARD, trainer.steps) as board, ProgressView(console, title, minutes, history) as view:
        while trainer.spent_s < 60.0 * minutes and trainer.updates < updates:
            row = trainer.update()
            last = trainer.spent_s >= 60.0 * minutes or trainer.updates >= updates
            if last or trainer.updates % ppo.judge_every == 0 or row["taken_up"]:
                row |= trainer.judged()
            folder.note(row)
            board.note(row)
            view.show(row, trainer.curriculum.newest)
            if last or trainer.updates % ppo.checkpoint_every == 0:
                folder.keep(*trainer.capture())
                kept()
