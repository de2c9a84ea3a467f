"""``knuckle data skin``: simulates strokes that a magnetic skin feels, to learn from."""

from __future__ import annotations

import resource
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting


@dataclass(frozen=True)
class DataSkin:
    """Simulate strokes that a magnetic skin feels: signals at 50 Hz and how the tip moved. The same command goes on."""

    out: str = setting("runs/skin", "folder of the strokes")
    strokes: int = setting(1000, "strokes in all", low=1, high=1_000_000)
    seed: int = setting(1, "seed of skin, strokes and noise", low=0, high=2**31 - 1)
    jobs: int = setting(2, "processes that make strokes", low=1, high=256)
    settings: str = setting("", "settings of the simulation: magnetometers.noise=2,stroke.lifts=0")
    json: str = setting("", "file to write the figures to")


def data_skin(argv: list[str]) -> int:
    """Run ``knuckle data skin``. Raises InputError for a setting or folder that cannot be used."""
    config = parse_arguments(DataSkin, argv, "knuckle data skin")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from knuckle.core.figures import Figures, require_writable
    from knuckle.sim.skin.skin_stroke import from_pairs
    from knuckle.sim.skin.stroke_set import StrokeSet

    if config.json:
        require_writable(Path(config.json))
    settings = from_pairs(parse_pairs(config.settings, where="--settings"), where="--settings")
    strokes = StrokeSet(Path(config.out), settings, seed=config.seed)
    console, missing = Console(), len(strokes.missing(config.strokes))
    if missing < config.strokes:
        console.print(f"{config.strokes - missing} strokes are there already", style="dim")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("strokes", total=config.strokes, completed=config.strokes - missing)
        strokes.make(config.strokes, jobs=config.jobs, done=lambda k: progress.advance(bar))
    size = sum(strokes.file(k).stat().st_size for k in range(config.strokes)) / 1e6
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "strokes": float(config.strokes),
        "strokes_made": float(missing),
        "size_mb": round(size, 3),
        "cpu_s": round(spent.ru_utime + spent.ru_stime, 3),
    }
    console.print(f"{config.strokes} strokes in {config.out}, {size:.1f} MB", soft_wrap=True, markup=False)
    if config.json:
        command = ["knuckle", "data", "skin", *argv]
        Figures(command, asdict(config), config.seed, config.strokes, figures).write(Path(config.json))
        console.print(f"figures written to {config.json}", soft_wrap=True, markup=False)
    return 0
