"""What a node is told by the process that hosts it, and what it shares with the other nodes there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class HostContext:
    """Handed to every node's ``build``.

    ``process`` is the process's name. ``restarted`` is True where the process died before: a node then comes back
    inactive. ``shared`` holds what nodes of one process share, built by the earlier of them (key "world": the
    simulated world). ``report`` tells the supervisor a node's health: name, level 0 to 3, one line.
    """

    process: str = ""
    restarted: bool = False
    shared: dict[str, object] = field(default_factory=dict)
    report: Callable[[str, int, str], None] = lambda node, level, line: None
    _mourners: list[Callable[[str], None]] = field(default_factory=list)

    def on_peer_death(self, callback: Callable[[str], None]) -> None:
        """Call ``callback(name)`` when another process of the run dies: once for it and once for each of its nodes.

        The calls come at once, from the control pipe's thread.
        """
        self._mourners.append(callback)

    def peer_died(self, names: list[str]) -> None:
        """Tell every node of this process that a process and its nodes, ``names``, died."""
        for callback in self._mourners:
            for name in names:
                callback(name)
