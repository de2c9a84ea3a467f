"""The rate of a stream that nobody told, from its first stamps."""

from __future__ import annotations

import statistics

ENOUGH = 50
"""Intervals that are looked at."""


class RateSearch:
    """Takes stamps until the rate is known: by the median interval, which gaps and repeats do not move."""

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self.rate_hz = 0.0

    def push(self, stamp_ns: int) -> bool:
        """Take a stamp; whether ``rate_hz`` is known by now."""
        if not self._stamps or stamp_ns > self._stamps[-1]:
            self._stamps.append(stamp_ns)
        if len(self._stamps) > ENOUGH and not self.rate_hz:
            steps = [b - a for a, b in zip(self._stamps, self._stamps[1:], strict=False)]
            self.rate_hz = min(max(1e9 / statistics.median(steps), 1.0), 1e5)
        return self.rate_hz > 0.0
