"""Commands of the room of layers: ``knuckle bench ssm``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting

Measured = tuple[dict[str, float], dict[str, tuple[float, float]]]


@dataclass(frozen=True)
class BenchSsm:
    """Time state-space layers on one thread: the scan forward and backward, and one sample of four Mamba layers."""

    length: int = setting(1024, "samples of a sequence; also measured at 8 times as many", low=1, high=65536)
    steps: int = setting(300, "samples of a stream in each repeat", low=1, high=1_000_000)
    repeats: int = setting(5, "times that everything is measured, in turns", low=1, high=1000)
    instructions: str = setting("", "instruction set that is forced: baseline, avx2 or avx512; else the fastest")
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    json: str = setting("", "file to write the figures to")


def bench_ssm(argv: list[str]) -> int:
    """Run ``knuckle bench ssm``. Raises InputError where the kernels or an instruction set are not there."""
    config = parse_arguments(BenchSsm, argv, "knuckle bench ssm")
    from rich.console import Console
    from rich.table import Table

    from knuckle.core.figures import Figures, require_writable
    from knuckle.nn.kernels import instruction_set

    if config.json:
        require_writable(Path(config.json))
    instruction_set(config.instructions)
    console = Console()
    figures, ranges = measure(config, lambda line: console.print(line, style="dim", highlight=False))
    table = Table("figure", "median", "range", box=None, pad_edge=False)
    for name, value in figures.items():
        low, high = ranges[name]
        table.add_row(name, f"{value:.2f}", f"{low:.2f} to {high:.2f}")
    console.print(table)
    if config.json:
        command = ["knuckle", "bench", "ssm", *argv]
        Figures(command, asdict(config), config.seed, config.repeats, figures, ranges).write(Path(config.json))
        console.print(f"figures written to {config.json}")
    return 0


def measure(config: BenchSsm, said: Callable[[str], None]) -> Measured:
    """The figures, medians over the repeats, and their ranges; ratios are taken repeat by repeat."""
    import torch

    from knuckle.nn.bench import figures_of
    from knuckle.nn.bench_scan import LONGER, measure_scan
    from knuckle.nn.bench_step import measure_step

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        scan = measure_scan(config.length, config.repeats, config.seed, config.instructions, said)
        step = measure_step(config.steps, config.repeats, config.seed, config.instructions, said)
    finally:
        torch.set_num_threads(threads)
    plain, bound = (step.ratio(name, "engine") for name in ("onnxruntime", "onnxruntime_bound"))
    series = {
        "scan_speedup_over_loop": scan.ratio("loop", "scan"),
        "scan_speedup_over_lstm": scan.ratio("lstm", "scan"),
        f"cost_ratio_{config.length}_to_{LONGER * config.length}": scan.ratio("longer", "scan"),
        "step_speedup_over_eager": step.ratio("eager", "engine"),
        "step_speedup_over_onnxruntime": [min(pair) for pair in zip(plain, bound, strict=True)],
        "step_speedup_over_numpy": step.ratio("numpy", "engine"),
    }
    series |= {f"{name}_cpu_ms": [1e3 * s for s in scan.seconds[name]] for name in ("scan", "loop", "lstm")}
    series |= {f"{name}_step_cpu_us": [1e6 * s for s in seconds] for name, seconds in step.seconds.items()}
    series["load_1min"] = scan.load + step.load
    return figures_of(series)
