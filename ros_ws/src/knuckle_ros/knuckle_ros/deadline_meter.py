"""How often a node that acts in cycles answers too late. Pure: times are arguments."""

from __future__ import annotations

from collections import deque


class DeadlineMeter:
    """Counts cycles of ``period_s`` and those that were missed: answered later than a period, or never.

    ``misses`` are since the start; `share` is over the last ``window_s``.
    """

    def __init__(self, period_s: float, window_s: float = 10.0) -> None:
        self.period_s, self.window_s = period_s, window_s
        self.cycles = self.misses = 0
        self._late: deque[tuple[float, bool]] = deque(maxlen=4096)

    def answered(self, asked_s: float, now_s: float) -> bool:
        """Count an answer at ``now_s`` to what came at ``asked_s``; whether that was in time."""
        late = now_s - asked_s > self.period_s
        self._count(now_s, late)
        return not late

    def skipped(self, now_s: float) -> None:
        """Count a cycle that was never answered."""
        self._count(now_s, True)

    def share(self, now_s: float) -> float:
        """The share of the window's cycles that were missed; 0 where there was none."""
        while self._late and self._late[0][0] <= now_s - self.window_s:
            self._late.popleft()
        return sum(late for _, late in self._late) / len(self._late) if self._late else 0.0

    def _count(self, now_s: float, late: bool) -> None:
        self.cycles += 1
        self.misses += late
        self._late.append((now_s, late))
