"""How a run is shown: plain lines, or a small live table where the output is a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from knuckle_ros.graph_process import GraphProcess

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

LEVELS = ("ok", "warning", "error", "stale")
ADDRESS = re.compile(r"https?://[\w.:\[\]-]+")
STYLES = ("green", "yellow", "red", "magenta")


class PlainView:
    """Prints what processes print, and every change of a process's state or of a node's health, on stderr."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def line(self, process: str, text: str) -> None:
        """One line of a process."""
        self._print(f"[{process}] {text}")

    def show(self, processes: list[GraphProcess]) -> None:
        """Print what changed."""
        for process in processes:
            self._say(f"process {process.name}", process.state)
            for node, (level, text) in process.health.items():
                self._say(node, LEVELS[level], text if level else "")

    def close(self) -> None:
        """Nothing is left on the screen that would have to go."""

    def _say(self, name: str, state: str, text: str = "") -> None:
        if self._shown.get(name) != state:
            self._shown[name] = state
            self._print(f"{name}: {state}{f' ({text})' if text else ''}")

    def _print(self, text: str) -> None:
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:
            # The terminal has gone; the run's end is decided by its hang-up signal, not by a print.
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


class LiveView:
    """A table of processes and nodes that stays at the foot of the terminal; lines scroll above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live: Live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._live.start()

    def line(self, process: str, text: str) -> None:
        """One line of a process, above the table."""
        self._live.console.print(f"[{process}] {text}", markup=False, highlight=False)

    def show(self, processes: list[GraphProcess]) -> None:
        """Draw the table anew."""
        self._live.update(_table(processes), refresh=True)

    def close(self) -> None:
        """Take the table away."""
        self._live.stop()


def _table(processes: list[GraphProcess]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("process", "pid", "state", "restarts", "node", "health", box=None, pad_edge=False)
    for process in processes:
        first = [process.name, str(process.pid), process.state, str(process.restarts)]
        for node in process.nodes:
            health = Text("-")
            if node.name in process.health:
                level, text = process.health[node.name]
                health = Text(f"{LEVELS[level]}  {text}", STYLES[level])
            table.add_row(*first, node.name, health)
            first = [""] * 4
    return table


class OpeningView:
    """Another view, and a call of ``open_address`` with the first http address that a process prints."""

    def __init__(self, view: PlainView | LiveView, open_address: Callable[[str], object]) -> None:
        self._view, self._open = view, open_address
        self._opened = False

    def line(self, process: str, text: str) -> None:
        """One line of a process."""
        self._view.line(process, text)
        address = ADDRESS.search(text)
        if address and not self._opened:
            self._opened = True
            self._open(address[0])

    def show(self, processes: list[GraphProcess]) -> None:
        """As the other view."""
        self._view.show(processes)
