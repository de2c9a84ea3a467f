"""`knuckle bench soak`: a whole graph under random faults from a seed, for minutes or hours."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_options
from knuckle.core.errors import InputError
from knuckle.core.figures import Figures, require_writable


@dataclass(frozen=True)
class BenchSoakConfig:
    """Run a whole graph (virtual servos and a virtual camera over the simulated world, perception, a policy) for long,
    with random faults from a seed: servos, bus and camera fail, processes are killed or stand still, strangers talk.
    Each fault has to be recovered from, and no write to a servo may be unsafe: exit code 1 otherwise.
    """

    minutes: float = 5.0
    """How long; longer where the machine is too slow for its faults to come in time."""
    seed: int = 0
    """What is injected, and when."""
    policy: str = "random"
    """Controller: random, nothing, mpc, or a trained policy or its folder."""
    camera: bool = True
    """Let the camera fail too; without, it is the simulated one, which needs no RealSense library."""
    domain: int = -1
    """ROS domain, 0 to 101; -1 for that of ROS_DOMAIN_ID, or 0."""
    json: Path | None = None
    """Write the figures to this file."""
    report: Path | None = None
    """Write a page with plots into this folder."""


def bench_soak(argv: list[str]) -> int:
    """Run the command; 0, or 1 where a write was unsafe or a fault not recovered."""
    config = parse_options(BenchSoakConfig, argv, "knuckle bench soak")
    from rich.console import Console
    from rich.table import Table

    from knuckle.hardware.spec.hands import hand_spec
    from knuckle_ros.commands.run import ros_domain
    from knuckle_ros.dds_leftovers import remove_leftovers
    from knuckle_ros.soak.graph_run import GraphRun
    from knuckle_ros.soak.growth import soak_figures
    from knuckle_ros.soak.listener import Listener
    from knuckle_ros.soak.plan import soak_plan
    from knuckle_ros.soak.report import write_report
    from knuckle_ros.soak.soak import Soak

    if not 0.1 <= config.minutes <= 10_000.0:
        raise InputError(f"{config.minutes:g} minutes", where="--minutes", right="0.1 to 10000")
    if not 0 <= config.seed < 2**31:
        raise InputError(str(config.seed), where="--seed", right=f"0 to {2**31 - 1}")
    for path in (config.json, config.report and config.report / "README.md"):
        if path is not None:
            require_writable(path)
    domain, seconds = ros_domain(config.domain), 60.0 * config.minutes
    servos = [joint.servo_id for joint in hand_spec("dclaw3").joints]
    plan = soak_plan(config.seed, seconds, servos, camera=config.camera)
    settings = [f"policy.model={config.policy}", f"policy.seed={config.seed}", f"goals.seed={config.seed}"]
    settings += [] if config.camera else ["camera.source=auto"]
    # Discovery on this machine alone, as the graph's own processes have it.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="knuckle-soak-") as folder:
        latch = Path(folder) / "stop.json"
        faults = Path(folder) / "runs"
        settings += [f"hand.latch_file={latch}", f"world.fault_folder={faults}"]
        graph, listener = GraphRun("soak", settings, domain, Path(folder)), Listener(domain)
        try:
            soak = Soak(graph, listener, plan, seconds, lambda line: print(line, file=sys.stderr, flush=True))
            record = soak.run()
        finally:
            graph.end()
            listener.close()
            # The graph swept while the listener was still there; what nodes shared with it is free only now.
            remove_leftovers(began)
    figures = soak_figures(record, listener.periods_ms)
    table = Table("figure", "value", box=None, pad_edge=False)
    for name, value in figures.items():
        table.add_row(name, f"{value:.2f}" if not value.is_integer() else f"{value:.0f}")
    Console().print(table)
    command = " ".join(["knuckle bench soak", *argv])
    if config.report is not None:
        write_report(config.report, command, record, listener.states, figures)
    if config.json is not None:
        written = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(config).items()}
        Figures(["bench", "soak", *argv], written, config.seed, len(record.outcomes), figures).write(config.json)
    return 0 if figures["unsafe_writes"] == figures["faults_unrecovered"] == 0.0 else 1
