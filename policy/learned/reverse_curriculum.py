"""How far before an expert's goal episodes begin: further back as those that begin there end well."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

STRIDE = 1.2


class ReverseCurriculum:
    """``reach`` control steps, at first ``start`` and at most ``furthest``; a fifth more when ``promote_at`` of the
    last ``window`` episodes begun within it succeeded."""

    def __init__(self, *, start: int, furthest: int, promote_at: float, window: int) -> None:
        self.reach, self.furthest, self.promote_at = min(start, furthest), furthest, promote_at
        self._outcomes: deque[bool] = deque(maxlen=window)

    def add(self, succeeded: bool) -> None:
        """Count an episode that began in the midst of an expert's."""
        self._outcomes.append(succeeded)

    @property
    def success(self) -> float:
        """The share of the last episodes that succeeded; NaN where none has ended."""
        return sum(self._outcomes) / len(self._outcomes) if self._outcomes else float("nan")

    def retreat(self) -> None:
        """Begin further back where a full window was mastered."""
        full = len(self._outcomes) == self._outcomes.maxlen
        if full and self.success >= self.promote_at and self.reach < self.furthest:
            self.reach = min(max(round(self.reach * STRIDE), self.reach + 1), self.furthest)
            self._outcomes.clear()

    def facts(self) -> dict[str, Any]:
        """What `restore` takes, as JSON holds it."""
        return {"reach": self.reach, "outcomes": "".join("01"[won] for won in self._outcomes)}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Stand where ``facts`` were taken."""
        self.reach = int(facts["reach"])
        self._outcomes.clear()
        self._outcomes.extend(mark == "1" for mark in facts["outcomes"])
