"""The rungs as a curriculum: the next is taken up when enough episodes on the newest end well; earlier ones stay."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any


class Curriculum:
    """Climbs ``rungs`` in order. `shares` says how often each that was taken up is drawn: the newest ``newest_share``,
    the others alike."""

    def __init__(self, rungs: tuple[str, ...], *, promote_at: float, newest_share: float, window: int) -> None:
        self.rungs, self.promote_at, self.newest_share, self.window = rungs, promote_at, newest_share, window
        self.top = 0
        self._outcomes: dict[str, deque[bool]] = {rung: deque(maxlen=window) for rung in rungs}

    @property
    def newest(self) -> str:
        """The rung that was taken up last."""
        return self.rungs[self.top]

    def add(self, rung: str, succeeded: bool) -> None:
        """Count an episode that ended on ``rung``."""
        self._outcomes[rung].append(succeeded)

    def success(self, rung: str) -> float:
        """The share of the last episodes on ``rung`` that succeeded; NaN where none has ended."""
        outcomes = self._outcomes[rung]
        return sum(outcomes) / len(outcomes) if outcomes else float("nan")

    def climb(self) -> bool:
        """Take up the next rung where the newest is mastered over a full window; whether that was so."""
        full = len(self._outcomes[self.newest]) == self.window
        if self.top + 1 == len(self.rungs) or not full or self.success(self.newest) < self.promote_at:
            return False
        self.top += 1
        return True

    def shares(self) -> dict[str, float]:
        """How often the goals of an episode are of each rung; they sum to 1."""
        if self.top == 0:
            return {self.newest: 1.0}
        earlier = self.rungs[: self.top]
        return {rung: (1.0 - self.newest_share) / len(earlier) for rung in earlier} | {self.newest: self.newest_share}

    def facts(self) -> dict[str, Any]:
        """What `restore` takes, as JSON holds it."""
        outcomes = {rung: "".join("01"[won] for won in kept) for rung, kept in self._outcomes.items()}
        return {"top": self.top, "outcomes": outcomes}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Stand where ``facts`` were taken."""
        self.top = int(facts["top"])
        for rung, kept in self._outcomes.items():
            kept.clear()
            kept.extend(mark == "1" for mark in facts["outcomes"][rung])
