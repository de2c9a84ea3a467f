"""``knuckle bench ppo``: the rate of the worlds while PPO learns, beside the same worlds without it."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting
from knuckle.policy.learned.matrix_threads import one_matrix_thread


@dataclass(frozen=True)
class BenchPpo:
    """Time updates of `knuckle train reorient` in turns with the same worlds under random actions, as bench sim's."""

    preset: str = setting("quick", "one object and near goals, or all of them", choices=("quick", "full"))
    hand: str = setting("dclaw3", "the hand: dclaw3 or dclaw4")
    set: str = setting("", "settings that differ, as train reorient has them: epochs=2,width=64")
    threads: int = setting(2, "threads of worlds", low=1, high=256)
    warm_up: int = setting(10, "updates before those that are timed", low=0, high=10_000)
    repeats: int = setting(20, "updates that are timed", low=1, high=10_000)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 2)
    json: str = setting("", "file to write the figures to")


def bench_ppo(argv: list[str]) -> int:
    """Run ``knuckle bench ppo``. Raises InputError for a name, number or folder that cannot be used."""
    config = parse_arguments(BenchPpo, argv, "knuckle bench ppo")
    one_matrix_thread()
    from rich.console import Console
    from rich.table import Table

    from knuckle.core.figures import Figures, require_writable
    from knuckle.policy.learned.train_config import make_training
    from knuckle.policy.learned.training_bench import figures_of, run_bench

    if config.json:
        require_writable(Path(config.json))
    changes = parse_pairs(config.set, where="--set")
    training = make_training(config.preset, config.hand, changes, threads=config.threads, seed=config.seed)
    console = Console()
    turns = run_bench(
        training,
        warm_up=config.warm_up,
        repeats=config.repeats,
        said=lambda line: console.print(line, style="dim"),
    )
    figures, ranges = figures_of(turns)
    table = Table("figure", "median", "range", box=None, pad_edge=False)
    for name, value in figures.items():
        digits = 0 if name.endswith(("steps_per_s", "per_million")) else 2
        low, high = ranges[name]
        table.add_row(name, f"{value:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}")
    console.print(table)
    if config.json:
        command = ["knuckle", "bench", "ppo", *argv]
        Figures(command, asdict(config), config.seed, config.repeats, figures, ranges).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0
