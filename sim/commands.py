"""Commands of the simulation room: ``knuckle bench sim``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting


@dataclass(frozen=True)
class BenchSim:
    """Time worlds to learn in: beside bare physics from the same states, and beside one process a world."""

    hand: str = setting("dclaw3", "the hand")
    objects: str = setting("train", "objects: train, novel, all, a family or one object")
    worlds: int = setting(256, "worlds stepped together", low=1, high=65536)
    threads: int = setting(2, "rollout threads", low=1, high=256)
    physics: str = setting("training", "training (1/60 s), coarse (softer friction) or execution (1/120 s)")
    surface: str = setting("table", "table, or air: the table goes after 2 s", choices=("table", "air"))
    starts: str = setting("mixed", "where episodes begin", choices=("settled", "grasp", "mixed", "table"))
    randomisation: str = setting("default", "off or default")
    repeats: int = setting(5, "times that everything is measured, in turns", low=1, high=1000)
    steps: int = setting(120, "control steps a repeat; an episode has 120", low=1, high=100_000)
    processes: int = setting(4, "processes of SubprocVecEnv beside it; 0 leaves it out", low=0, high=256)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    json: str = setting("", "file to write the figures to")


def bench_sim(argv: list[str]) -> int:
    """Run ``knuckle bench sim``. Raises InputError for a name, number or folder that cannot be used."""
    config = parse_arguments(BenchSim, argv, "knuckle bench sim")
    from rich.console import Console
    from rich.table import Table

    from knuckle.core.figures import Figures, require_writable
    from knuckle.hardware.spec.hands import hand_spec
    from knuckle.sim.bench import figures_of, run_bench
    from knuckle.sim.objects import object_names
    from knuckle.sim.reorient.batch_config import BatchConfig

    if config.json:
        require_writable(Path(config.json))
    hand = hand_spec(config.hand, where="--hand")
    objects = object_names(config.objects, where="--objects")
    batch = BatchConfig(
        worlds=config.worlds,
        surface=config.surface,
        starts=config.starts,
        physics=config.physics,
        randomisation=config.randomisation,
        threads=config.threads,
        seed=config.seed,
    )
    console = Console()
    result = run_bench(
        hand,
        objects,
        batch,
        repeats=config.repeats,
        steps=config.steps,
        processes=config.processes,
        said=lambda line: console.print(line, style="dim"),
    )
    figures, ranges = figures_of(result)
    table = Table("figure", "median", "range", box=None, pad_edge=False)
    for name, value in figures.items():
        digits = 0 if name.endswith(("steps_per_s", "steps_per_cpu_s", "episodes")) else 2
        spread = "to".join(f" {bound:.{digits}f} " for bound in ranges[name]) if name in ranges else ""
        table.add_row(name, f"{value:.{digits}f}", spread.strip())
    console.print(table)
    if config.json:
        command = ["knuckle", "bench", "sim", *argv]
        Figures(command, asdict(config), config.seed, config.repeats, figures, ranges).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0
