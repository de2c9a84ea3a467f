"""``knuckle train offline``: a policy from recorded experience alone; the same command goes on after a kill."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from knuckle.policy.offline.offline_run import OfflineRun


@dataclass(frozen=True)
class TrainOffline:
    """Learn from recorded data. The same command goes on with a run that ended early."""

    data: str = setting(
        "", "what to learn from, as knuckle data show takes it; NAME:10 is episode 10 alone; several with + between"
    )
    learner: str = setting("odice", "odice, odice-semi, odice-true, odice-imitation, bc, bc-10, iql, td3-bc or cql")
    set: str = setting("", "settings that differ: lam=0.7,eta=0.5,weight=exact")
    steps: int = setting(50_000, "steps of learning in all", low=1, high=100_000_000)
    run: str = setting("", "folder of the run; runs/offline-LEARNER if empty")
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    rewards: str = setting("auto", "how rewards are scaled: auto, none, return_range, minus_one or minus_three")
    observations: str = setting("auto", "how observations are: auto, scaled or raw")
    log_every: int = setting(1000, "steps from one line of figures to the next", low=1)
    keep_every: int = setting(5000, "steps from one checkpoint to the next", low=1)
    begin: str = setting("", "zip of a Stable-Baselines3 agent whose policy is where learning begins")
    ppo: str = setting("", "file to leave the policy in as a zip of Stable-Baselines3's PPO")
    rate_hz: float = setting(
        0.0,
        "how often the policy acts, for its card, where the data are of no known task",
        low=0.0,
        high=1e5,
        unit="Hz",
    )
    json: str = setting("", "file to write the figures to")
    settings: bool = setting(False, "list what --set can change, and end")


def train_offline(argv: list[str]) -> int:
    """Run ``knuckle train offline``. Raises InputError for data, a setting or a folder that cannot be used."""
    config = parse_arguments(TrainOffline, argv, "knuckle train offline")
    import torch
    from rich.console import Console

    from knuckle.core.figures import Figures, require_writable
    from knuckle.policy.learned.board import Board
    from knuckle.policy.learned.run_folder import BOARD
    from knuckle.policy.offline.learners import settings_of
    from knuckle.policy.offline.offline_run import OfflinePlan, OfflineRun
    from knuckle.policy.offline.offline_view import OfflineView
    from knuckle.policy.offline.ppo_exchange import require_linear
    from knuckle.policy.offline_data.dataset import merged
    from knuckle.policy.offline_data.open_data import open_data

    console = Console()
    torch.set_num_threads(1)
    changes = parse_pairs(config.set, where="--set")
    settings = settings_of(config.learner, changes)
    if config.settings:
        for name, value in asdict(settings).items():
            console.print(f"{name}={value}", soft_wrap=True, highlight=False)
        return 0
    if not config.data:
        raise InputError("no data", where="--data", right="what knuckle data show takes")
    if config.ppo:
        require_linear(settings)
    for path in (config.json, config.ppo):
        if path:
            require_writable(Path(path))
    data = merged([open_data(source) for source in config.data.split("+")])
    plan = OfflinePlan(config.learner, changes, config.steps, config.seed, config.rewards, config.observations)
    folder, begin = Path(config.run or f"runs/offline-{config.learner}"), Path(config.begin) if config.begin else None
    run = OfflineRun(plan, data, folder, begin=begin)
    _begin(config, run, console)

    title = f"{config.learner} on {data.name}"
    board = Board(run.folder.path / BOARD, run.fit.steps)
    with board, OfflineView(console, title, config.steps, run.history) as view:

        def noted(row: dict[str, float]) -> None:
            board.note(row | {"steps": row["updates"]})
            view.show(row)

        run.learn(log_every=config.log_every, keep_every=config.keep_every, noted=noted)
    _leave(config, run, console)
    if config.json:
        command, last = ["knuckle", "train", "offline", *argv], run.history[-1]
        Figures(command, asdict(config), config.seed, data.steps, last).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0


def _begin(config: TrainOffline, run: OfflineRun, console: Console) -> None:
    """Say where learning goes on and what may go wrong with it."""
    from knuckle.policy.offline.settling import settling_note

    if run.fit.steps:
        console.print(f"goes on after step {run.fit.steps}")
    flat = run.data.flat_warning() if config.learner.startswith("odice") else ""
    for note in (flat, settling_note(run.fit.settings, run.fit.transitions, config.steps)):
        if note:
            console.print(note, style="yellow", soft_wrap=True, highlight=False)


def _leave(config: TrainOffline, run: OfflineRun, console: Console) -> None:
    """Export the policy, and say where it is and whether there was enough to learn it from."""
    from knuckle.policy.offline.settling import starving_note

    if note := starving_note(run.history[-1]):
        console.print(note, style="yellow", soft_wrap=True, highlight=False)
    if run.export(rate_hz=config.rate_hz):
        console.print(f"policy in {run.folder.policy}", soft_wrap=True)
    else:
        console.print("no policy is exported: the data are of no known task; the same line with --rate-hz does it")
    if config.ppo:
        from knuckle.policy.offline.ppo_exchange import save_ppo

        valued = "with" if save_ppo(run, Path(config.ppo)) else "without"
        console.print(f"the same for Stable-Baselines3's PPO, {valued} its value, in {config.ppo}", soft_wrap=True)
