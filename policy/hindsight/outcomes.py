"""How the last episodes ended, by what they count as: a rung, or a grasp without a table."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping


class Outcomes:
    """The last ``window`` episodes of each kind: whether a goal was reached, and whether the object was dropped."""

    def __init__(self, window: int) -> None:
        self.window = window
        self._ended: dict[str, deque[tuple[bool, bool]]] = {}

    def add(self, kind: str, *, succeeded: bool, dropped: bool) -> None:
        """Count an episode that ended."""
        self._ended.setdefault(kind, deque(maxlen=self.window)).append((succeeded, dropped))

    def figures(self) -> dict[str, float]:
        """Shares by name: ``success_60``, ``dropped_60``."""
        told = {}
        for kind, ended in self._ended.items():
            told[f"success_{kind}"] = sum(won for won, _ in ended) / len(ended)
            told[f"dropped_{kind}"] = sum(lost for _, lost in ended) / len(ended)
        return told

    def facts(self) -> dict[str, str]:
        """What `restore` takes, as JSON holds it: two marks an episode."""
        return {
            kind: "".join("01"[won] + "01"[lost] for won, lost in ended) for kind, ended in sorted(self._ended.items())
        }

    def restore(self, facts: Mapping[str, str]) -> None:
        """Stand where ``facts`` were taken."""
        self._ended.clear()
        for kind, marks in facts.items():
            for won, lost in zip(marks[::2], marks[1::2], strict=True):
                self.add(kind, succeeded=won == "1", dropped=lost == "1")
