"""``knuckle train hindsight``: learns off-policy until its minutes are over, goes on after a kill, leaves a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import describe, parse_pairs, setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from knuckle.policy.hindsight.hindsight_config import Hindsight
    from knuckle.policy.hindsight.hindsight_run import HindsightRun
    from knuckle.policy.learned.run_folder import RunFolder


@dataclass(frozen=True)
class TrainHindsight:
    """Learn on from a policy by TD3 with hindsight goals. The same command goes on with a run that ended early."""

    warm: str = setting("reorient-dclaw3", "the policy that it begins as: a trained one by name, or a folder")
    episodes: str = setting("", "collections of knuckle collect to learn from too, with + between")
    run: str = setting("runs/reorient-hindsight", "folder of the run")
    hand: str = setting("dclaw3", "the hand: dclaw3 or dclaw4")
    minutes: float = setting(100.0, "minutes of training in all", low=0.0, high=100_000.0)
    set: str = setting("", "settings that differ: worlds=512,rungs=60=0.7+90=0.3,reward.success=6")
    threads: int = setting(1, "threads of worlds and of torch", low=1, high=256)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    judged: int = setting(50, "episodes of the protocol on each rung at the end", low=0, high=100_000)
    rungs: str = setting("yaw60+60+90+so3", "rungs that are judged at the end, with + between")
    settings: bool = setting(False, "list what --set can change, and end")


def train_hindsight(argv: list[str]) -> int:
    """Run ``knuckle train hindsight``. Raises InputError for a setting, policy, collection or folder that cannot be
    used."""
    config = parse_arguments(TrainHindsight, argv, "knuckle train hindsight")
    from rich.console import Console

    from knuckle.policy.hindsight.hindsight_config import make_hindsight
    from knuckle.sim.reorient.rungs import find_rung

    console = Console()
    rungs = [find_rung(rung, where="--rungs").name for rung in config.rungs.split("+")]
    changes = parse_pairs(config.set, where="--set")
    settings = make_hindsight(
        config.hand, config.warm, config.episodes, changes, threads=config.threads, seed=config.seed
    )
    if config.settings:
        _print_settings(settings, console)
        return 0
    from knuckle.policy.hindsight.hindsight_run import HindsightRun
    from knuckle.policy.hindsight.leave import export, judge_policy
    from knuckle.policy.hindsight.run_settings import note_or_require_same
    from knuckle.policy.learned.run_folder import FAULTS, RunFolder

    folder = RunFolder(Path(config.run))
    if folder.begun:
        note_or_require_same(folder.path, settings)
    run = HindsightRun(settings, fault_folder=folder.path / FAULTS)
    try:
        note_or_require_same(folder.path, settings)
        folder.lock()
        shown = len(run.planner) if run.planner is not None else 0
        console.print(
            f"{settings.config.worlds} worlds, {len(settings.objects)} objects, {shown} steps of a planner, "
            f"begun as {run.warm.name}; run in {folder.path}",
            soft_wrap=True,
        )
        learn(run, folder, config.minutes, console, kept=lambda: export(run, folder.policy))
        export(run, folder.policy)
        console.print(f"{run.cpu_s / 3600:.2f} CPU-hours of training; policy in {folder.policy}", soft_wrap=True)
        judge_policy(run, folder.policy, rungs, config.judged, console)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from the last checkpoint")
        raise
    finally:
        run.close()
    return 0


def learn(
    run: HindsightRun,
    folder: RunFolder,
    minutes: float,
    console: Console,
    *,
    cycles: int = 1 << 40,
    kept: Callable[[], object] = lambda: None,
) -> None:
    """Learn until ``minutes`` or ``cycles`` in all are done, from the folder's checkpoint where there is one.

    ``kept`` is called after each checkpoint. InputError where all is done already.
    """
    from knuckle.policy.hindsight import replay_file
    from knuckle.policy.hindsight.hindsight_view import HindsightView
    from knuckle.policy.learned.board import Board
    from knuckle.policy.learned.run_folder import BOARD, CHECKPOINT

    if (before := replay_file.kept(folder)) is not None:
        run.restore(*before, where=str(folder.path / CHECKPOINT))
        del before  # the replay is large, and now held twice
        console.print(f"goes on after update {run.updates}, {run.spent_s / 60:.1f} min")
    if run.spent_s >= 60.0 * minutes or run.cycles >= cycles:
        what = f"the run has had its {run.spent_s / 60:.1f} min"
        raise InputError(what, where=str(folder.path), right="more --minutes to go on, or another --run")
    history, config = folder.cut(run.updates), run.run.config
    view = HindsightView(console, f"TD3 in hindsight on {run.hand.name}", minutes, history)
    with Board(folder.path / BOARD, run.steps) as board, view:
        while run.spent_s < 60.0 * minutes and run.cycles < cycles:
            row = run.cycle()
            last = run.spent_s >= 60.0 * minutes or run.cycles >= cycles
            if last or run.cycles % config.judge_every == 0:
                row |= run.judged()
            folder.note(row)
            board.note(row)
            view.show(row, run.run.rung)
            if last or run.cycles % config.checkpoint_every == 0:
                replay_file.keep(folder, *run.capture(), run.replay.capture())
                kept()


def _print_settings(settings: Hindsight, console: Console) -> None:
    """Name, value, range and meaning of each setting."""
    from rich.table import Table

    table = Table("setting", "value", "range", "", box=None, pad_edge=False)
    for prefix, part in (("", settings.config), ("reward.", settings.reward)):
        for spec in describe(type(part)):
            limits = "" if spec.low is None else f"{spec.low:g} to {spec.high:g} {spec.unit}".rstrip()
            table.add_row(
                f"{prefix}{spec.name}", str(getattr(part, spec.name)), limits or ", ".join(spec.choices), spec.help
            )
    console.print(table)
