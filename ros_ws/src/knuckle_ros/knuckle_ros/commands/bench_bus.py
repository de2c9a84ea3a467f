"""`knuckle bench bus`: joint state to command, depth images, and what each process costs."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_options
from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import Figures, require_writable

if TYPE_CHECKING:
    from knuckle_ros.graph import Graph
    from knuckle_ros.graph_process import GraphProcess

TIMEOUT_S = 60.0
"""How long a run may take beside what it measures."""
DEMO_SETTLES_S = 12.0


@dataclass(frozen=True)
class BenchBusConfig:
    """Time the bus over real processes: joint states at 100 Hz answered by a pass-through policy, 640x480 depth at
    30 Hz beside them, CPU and memory of each process; then CPU and memory of the demo's processes.
    """

    seconds: float = 10.0
    """Time that is measured, of each."""
    demo: bool = True
    """Measure the demo's processes too."""
    domain: int = -1
    """ROS domain, 0 to 101; -1 for that of ROS_DOMAIN_ID, or 0."""
    json: Path | None = None
    """Write the figures to this file."""


def bench_bus(argv: list[str]) -> int:
    """Run the command."""
    config = parse_options(BenchBusConfig, argv, "knuckle bench bus")
    from rich.console import Console
    from rich.table import Table

    from knuckle_ros.commands.run import ros_domain

    if not 0.5 <= config.seconds <= 3600.0:
        raise InputError(f"{config.seconds:g} s", where="--seconds", right="0.5 to 3600")
    if config.json is not None:
        require_writable(config.json)
    domain = ros_domain(config.domain)
    measured = _bench(config.seconds, domain)
    if config.demo:
        measured.update(_demo(config.seconds, domain))
    table = Table("figure", "value", box=None, pad_edge=False)
    for name, value in measured.items():
        table.add_row(name, f"{value:.2f}" if name.endswith(("_ms", "_mb", "_percent")) else f"{value:.0f}")
    Console().print(table)
    if config.json is not None:
        settings = {**asdict(config), "json": str(config.json)}
        n = round(measured["commands_received"])
        Figures(["bench", "bus", *argv], settings, seed=0, n=n, figures=measured).write(config.json)
    return 0


def _bench(seconds: float, domain: int) -> dict[str, float]:
    from knuckle_ros.bench.results import DONE, MEASURING, WARM_UP_S, read_results
    from knuckle_ros.graph import load_graph

    def says(line: str) -> Callable[[list[GraphProcess]], bool]:
        return lambda processes: any(line in text for p in processes for _, text in p.health.values())

    with tempfile.TemporaryDirectory(prefix="knuckle-bench-") as folder:
        graph = load_graph("bench_bus").with_settings(
            [
                *(f"{node}.results={folder}" for node in ("driver", "camera", "listener")),
                f"driver.seconds={seconds}",
                # Images run all the while that commands are measured, and have all arrived before the driver is done.
                f"camera.seconds={seconds + WARM_UP_S}",
            ]
        )
        costs = run_graph(graph, domain, says(MEASURING), says(DONE), seconds, "")
        return {**read_results(Path(folder)), **costs}


def _demo(seconds: float, domain: int) -> dict[str, float]:
    from knuckle_ros.graph import load_graph

    # Another page may be open on the usual port.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    graph = load_graph("demo").with_settings([f"page.port={port}"])
    running: list[float] = []

    def settled(processes: list[GraphProcess]) -> bool:
        if not running and all(process.state == "running" for process in processes):
            running.append(time.monotonic())
        return bool(running) and time.monotonic() > running[0] + DEMO_SETTLES_S

    def over(processes: list[GraphProcess]) -> bool:
        return time.monotonic() > running[0] + DEMO_SETTLES_S + seconds

    return run_graph(graph, domain, settled, over, DEMO_SETTLES_S + seconds, "demo")


def run_graph(
    graph: Graph,
    domain: int,
    begin: Callable[[list[GraphProcess]], bool],
    end: Callable[[list[GraphProcess]], bool],
    seconds: float,
    name: str,
) -> dict[str, float]:
    """Run ``graph`` until ``end``; what its processes cost since ``begin``."""
    from knuckle_ros.bench.process_meter import ProcessMeter
    from knuckle_ros.supervisor import Supervisor

    meter = ProcessMeter(begin, end, name)
    supervisor = Supervisor(graph, domain=domain, view=meter)
    meter.finished = supervisor.stop
    supervisor.run(seconds + TIMEOUT_S)
    if not meter.figures:
        print("\n".join(meter.lines[-20:]), file=sys.stderr)
        raise RunError(f"graph {graph.name} did not finish", right=f"within {seconds + TIMEOUT_S:.0f} s, untouched")
    return meter.figures
