"""`knuckle run` and `knuckle demo`: a graph of nodes under a supervisor."""

from __future__ import annotations

import importlib.util
import os
import sys
import webbrowser
from dataclasses import dataclass
from typing import Annotated

import tyro

from knuckle.core.arguments import parse_options
from knuckle.core.errors import BusError, InputError

MAX_DOMAIN = 101
"""ROS domains above this one share port numbers with those the system gives to clients."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run."""

    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A parameter laid over the graph's, as node.key=value; may be given again and again."""
    domain: int = -1
    """ROS domain, 0 to 101; -1 for that of ROS_DOMAIN_ID, or 0."""
    seconds: float = 0.0
    """End by itself after this many seconds; 0 for never."""
    page: bool = True
    """Run the graph's page, if it has one."""
    open: bool = False
    """Open the page in the browser once it is there."""


@dataclass(frozen=True)
class RunConfig(RunOptions):
    """Run a graph of nodes and watch over it until Ctrl-C."""

    graph: Annotated[str, tyro.conf.Positional] = "demo"
    """A bundled graph's name, or the path of a YAML file."""


@dataclass(frozen=True)
class DemoConfig(RunOptions):
    """A simulated hand turns objects to random orientations: the bundled graph "demo", seen on a page."""


def run(argv: list[str]) -> int:
    """`knuckle run [GRAPH]`."""
    config = parse_options(RunConfig, argv, "knuckle run")
    return _run(config.graph, config)


def demo(argv: list[str]) -> int:
    """`knuckle demo`."""
    return _run("demo", parse_options(DemoConfig, argv, "knuckle demo"))


def _run(name: str, options: RunOptions) -> int:
    from knuckle_ros.graph import load_graph
    from knuckle_ros.run_view import LiveView, OpeningView, PlainView
    from knuckle_ros.supervisor import Supervisor

    if importlib.util.find_spec("rclpy") is None:
        raise BusError("rclpy is not installed", right="pip install 'knuckle[ros]'")
    if not options.seconds >= 0.0:
        raise InputError(f"{options.seconds:g} is not a time", where="--seconds", right="0 or more")
    graph = load_graph(name)
    if not options.page:
        graph = graph.without("page")
    graph, domain = graph.with_settings(options.set), ros_domain(options.domain)
    view = LiveView() if sys.stderr.isatty() else PlainView()
    try:
        shown = OpeningView(view, webbrowser.open) if options.open else view
        return Supervisor(graph, domain=domain, view=shown).run(options.seconds or None)
    finally:
        view.close()


def ros_domain(chosen: int) -> int:
    """The ROS domain of a command: ``chosen``, or where that is -1 ROS_DOMAIN_ID, or 0. InputError beyond 101."""
    text = os.environ.get("ROS_DOMAIN_ID", "0") if chosen < 0 else str(chosen)
    if not text.isdecimal() or int(text) > MAX_DOMAIN:
        raise InputError(f"'{text}' is not a ROS domain", where="ROS_DOMAIN_ID", right=f"0 to {MAX_DOMAIN}")
    return int(text)
