"""`knuckle bench stream`: a trained model at an IMU's rate beside the demo: what is lost, and how late it is."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.core.figures import Figures, require_writable

if TYPE_CHECKING:
    from knuckle_ros.graph import Graph, Value
    from knuckle_ros.graph_process import GraphProcess

WARM_UP_S = 12.0


@dataclass(frozen=True)
class BenchStreamConfig:
    """Stream an IMU of 285.7 Hz into a model's node beside the demo, its planner on one thread at nice 10."""

    model: str = setting("orientation", "a trained model of orientation or velocity: its name, or its folder")
    seconds: float = setting(20.0, "time that is measured", low=0.5, high=3600.0, unit="s")
    rate: float = setting(1e9 / 3_500_000, "rate of the IMU", low=1.0, high=2000.0, unit="Hz")
    staggered: bool = setting(False, "an estimate at every sample of the model")
    demo: bool = setting(True, "run the demo beside it")
    warm_up: float = setting(WARM_UP_S, "time before, while the demo starts", low=0.1, high=600.0, unit="s")
    domain: int = setting(-1, "ROS domain (-1: that of ROS_DOMAIN_ID, else 0)", low=-1, high=101)
    json: str = setting("", "file to write the figures to")


def bench_stream(argv: list[str]) -> int:
    """Run the command; InputError for a model that reads no IMU, RunError for a graph that does not finish."""
    config = parse_arguments(BenchStreamConfig, argv, "knuckle bench stream")
    from rich.console import Console
    from rich.table import Table

    from knuckle.sensors.hiss.live_model import IMU_TASKS, LiveModel, task_of
    from knuckle.sensors.hiss.model_card import model_folder
    from knuckle_ros.bench.results import DONE, MEASURING, read_results
    from knuckle_ros.commands.bench_bus import run_graph
    from knuckle_ros.commands.run import ros_domain

    if config.json:
        require_writable(Path(config.json))
    folder = model_folder(config.model)
    card = LiveModel(folder, config.staggered).sensor_stream().card
    if task_of(card) not in IMU_TASKS:
        raise InputError(f"a model of the task {task_of(card)}", where="--model", right="orientation or velocity")

    def says(line: str) -> Callable[[list[GraphProcess]], bool]:
        return lambda processes: any(line in text for p in processes for _, text in p.health.values())

    with tempfile.TemporaryDirectory(prefix="knuckle-bench-") as results:
        graph = _graph(config, folder.absolute(), results)
        whole = config.warm_up + config.seconds
        measured = run_graph(graph, ros_domain(config.domain), says(MEASURING), says(DONE), whole, "")
        measured = {**read_results(Path(results)), **measured}
    table = Table("figure", "value", box=None, pad_edge=False)
    for name, value in measured.items():
        table.add_row(name, f"{value:.2f}" if name.endswith(("_ms", "_mb", "_percent")) else f"{value:.0f}")
    Console().print(table)
    if config.json:
        n = round(measured["samples_sent"])
        Figures(["knuckle", "bench", "stream", *argv], asdict(config), 0, n, measured).write(Path(config.json))
    return 0


def _graph(config: BenchStreamConfig, folder: Path, results: str) -> Graph:
    """The demo, or nothing, with an IMU and the model's node beside it, each in a process of its own."""
    from knuckle_ros.graph import Graph, NodeSpec, ProcessOptions, load_graph

    graph = Graph("bench_stream", {}, ())
    if config.demo:
        with socket.socket() as probe:  # another page may be open on the usual port
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        graph = load_graph("demo").with_settings([f"page.port={port}", "policy.threads=1"])
    source: dict[str, Value] = {
        "model": str(folder),
        "node": "model",
        "rate": config.rate,
        "warm_up": config.warm_up,
        "seconds": config.seconds,
        "results": results,
    }
    model: dict[str, Value] = {
        "model": str(folder),
        "stream": "bench",
        "source": "bench/",
        "rate_hz": config.rate,
        "staggered": config.staggered,
    }
    own = {topic: f"bench/{topic}" for topic in ("imu", "magnetic_field", "estimate")}
    nodes = (
        NodeSpec("model", "knuckle_ros.model_node", "stream", model, source="bench stream"),
        NodeSpec("bench_imu", "knuckle_ros.bench.imu_source_node", "sensor", source, own, source="bench stream"),
    )
    processes = {**graph.processes, "stream": ProcessOptions(), "sensor": ProcessOptions()}
    return Graph("bench_stream", processes, (*graph.nodes, *nodes))
