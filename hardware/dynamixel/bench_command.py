"""`knuckle bench hand`: how fast the servo loop of a hand turns, over virtual servos at the pace of a real wire."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import RunError

CYCLE_HZ = 100.0
SLOW, FAST = 1_000_000, 4_000_000
GOAL_MS = 10.0


@dataclass(frozen=True)
class BenchHand:
    """Time the servo loop at 100 Hz and 1 Mbaud, find its highest rate at 4 Mbaud, beside the vendor's SDK alone."""

    hand: str = setting("dclaw4", "which hand; the four-fingered D'Claw has 12 servos")
    seconds: float = setting(10.0, "length of each run", low=0.2, high=600.0, unit="s")
    repeats: int = setting(3, "runs of each at 1 Mbaud, in turns", low=1, high=100)
    json: str = setting("", "file to write the figures to")


def bench_hand(argv: list[str]) -> int:
    """Run the command. Raises InputError for a hand or file that cannot be used, RunError where a run gave up."""
    config = parse_arguments(BenchHand, argv, "knuckle bench hand")
    from rich.console import Console
    from rich.table import Table

    from knuckle.core.figures import Figures, require_writable

    if config.json:
        require_writable(Path(config.json))
    console = Console()
    figures, ranges = measure(config, lambda line: console.print(line, style="dim"))
    table = Table("figure", "median", "range", box=None, pad_edge=False)
    for name, value in figures.items():
        spread = "to".join(f" {bound:.2f} " for bound in ranges[name]) if name in ranges else ""
        table.add_row(name, f"{value:.2f}", spread.strip())
    console.print(table)
    if config.json:
        command = ["knuckle", "bench", "hand", *argv]
        Figures(command, asdict(config), 0, config.repeats, figures, ranges).write(Path(config.json))
        console.print(f"figures written to {config.json}")
    return 0


def measure(config: BenchHand, said: Callable[[str], None]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The figures, medians over the repeats, and their ranges."""
    from knuckle.hardware.dynamixel.bench import highest_rate, measure_drive, measure_sdk, open_bench_drive
    from knuckle.hardware.dynamixel.drive_profile import drive_profile
    from knuckle.hardware.spec.hands import hand_spec

    spec = hand_spec(config.hand, where="--hand")
    model = drive_profile(spec).models[0]
    runs: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        runs.setdefault(name, []).append(value)

    with virtual_servos(config.hand, model.name, SLOW) as port:
        for n in range(config.repeats):
            drive = open_bench_drive(spec, port, model, SLOW)
            ours = measure_drive(drive, CYCLE_HZ, config.seconds)
            drive.torque_off()
            drive.group.bus.close()
            sdk = measure_sdk(spec, model, port, SLOW, config.seconds)
            said(f"{n + 1}: {ours.rate_hz:.1f} Hz, cycle p99 {ours.p99_ms:.2f} ms; the SDK alone {sdk.p99_ms:.2f} ms")
            note("rate_1mbaud_hz", ours.rate_hz)
            note("cycle_p50_1mbaud_ms", ours.p50_ms)
            note("cycle_p99_1mbaud_ms", ours.p99_ms)
            note("period_p99_1mbaud_ms", ours.period_p99_ms)
            note("cpu_share_1mbaud", ours.cpu_share)
            note("packets_missed_1mbaud", ours.missed)
            note("cycles_lost_1mbaud", ours.lost)
            note("sdk_cycle_p50_1mbaud_ms", sdk.p50_ms)
            note("sdk_cycle_p99_1mbaud_ms", sdk.p99_ms)
            note("sdk_rate_1mbaud_hz", sdk.rate_hz)
            note("sdk_cpu_share_1mbaud", sdk.cpu_share)
    with virtual_servos(config.hand, model.name, FAST) as port:
        drive = open_bench_drive(spec, port, model, FAST)
        rate, best = highest_rate(drive, config.seconds, said)
        drive.torque_off()
        drive.group.bus.close()
        sdk = measure_sdk(spec, model, port, FAST, config.seconds)
        note("highest_rate_4mbaud_hz", rate)
        if best is not None:
            note("cycle_p99_4mbaud_ms", best.p99_ms)
        note("sdk_rate_4mbaud_hz", sdk.rate_hz)
        note("sdk_cycle_p99_4mbaud_ms", sdk.p99_ms)
    figures = {"servos": float(spec.dof), "goal_cycle_p99_ms": GOAL_MS}
    figures |= {name: statistics.median(values) for name, values in runs.items()}
    return figures, {name: (min(values), max(values)) for name, values in runs.items() if len(values) > 1}


@contextlib.contextmanager
def virtual_servos(hand: str, servo: str, baud: int) -> Iterator[str]:
    """The port of virtual servos in a process of their own, so that they take no time from whoever drives them."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--hand", hand, "--servo", servo, "--baud", str(baud), "--socket", f"{folder}/bus.sock"]
        command = [sys.executable, "-m", "knuckle.hardware.virtual.standalone", *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RunError("the virtual servos did not start", where="bench hand", right="see above")
            try:
                yield str(json.loads(line)["port"])
            finally:
                process.stdin.close()
                process.wait()
