"""How many cycles of a steady loop were missed. Pure: times are arguments."""

from __future__ import annotations


class CycleMeter:
    """Counts cycles of ``period_s`` that did not come: a gap of n periods, to the nearest, has missed n - 1."""

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.misses = 0
        """Cycles since start that did not begin in time."""
        self._last_s: float | None = None

    def began(self, now_s: float) -> None:
        """A cycle begins at ``now_s``."""
        if self._last_s is not None:
            self.misses += max(0, round((now_s - self._last_s) / self.period_s) - 1)
        self._last_s = now_s
