"""``knuckle bench offline``: the steps of O-DICE and IQL beside the same steps written plainly."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting


@dataclass(frozen=True)
class BenchOffline:
    """Time a step of O-DICE and of IQL on one thread, beside the same steps written plainly; CPU seconds."""

    width: int = setting(256, "units of each hidden layer", low=8, high=4096)
    policy_width: int = setting(256, "units of O-DICE's policy; the paper's code has 1024", low=8, high=4096)
    batch: int = setting(256, "rows a step", low=8, high=65536)
    repeats: int = setting(5, "times that everything is measured, in turns", low=1, high=1000)
    steps: int = setting(100, "steps a repeat", low=5, high=100_000)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    json: str = setting("", "file to write the figures to")


def bench_offline(argv: list[str]) -> int:
    """Run ``knuckle bench offline``. Raises InputError for a name or number that cannot be used."""
    config = parse_arguments(BenchOffline, argv, "knuckle bench offline")
    from rich.console import Console
    from rich.table import Table

    from knuckle.core.figures import Figures, require_writable
    from knuckle.policy.offline.bench import figures_of, time_iql, time_odice
    from knuckle.policy.offline.iql import IqlConfig
    from knuckle.policy.offline.odice import OdiceConfig

    if config.json:
        require_writable(Path(config.json))
    odice = OdiceConfig(width=config.width, policy_width=config.policy_width, batch=config.batch)
    iql = IqlConfig(width=config.width, batch=config.batch)
    turns = {"seed": config.seed, "repeats": config.repeats, "steps": config.steps}
    timed = {"odice": time_odice(odice, **turns), "iql": time_iql(iql, **turns)}
    figures, ranges = figures_of(timed)
    table = Table("figure", "median", "range", box=None, pad_edge=False)
    for name, value in figures.items():
        spread = "to".join(f" {bound:.3f} " for bound in ranges[name]).strip() if name in ranges else ""
        table.add_row(name, f"{value:.2g}" if name.endswith("apart") else f"{value:.3f}", spread)
    Console().print(table)
    if config.json:
        command = ["knuckle", "bench", "offline", *argv]
        Figures(command, asdict(config), config.seed, config.repeats, figures, ranges).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0
