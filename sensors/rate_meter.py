"""The period at which a sensor really sends, from stamps with jitter and gaps."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

BLOCK, BLOCKS = 64, 4
_LIKE = 0.3
_PLAINLY = 1.75


@dataclass
class RateMeter:
    """Takes intervals in ns; every 64 of them are a block, and the newest four blocks are the measure.

    In a block an interval is one period, or as many as it has of those expected (or of their median, where that is
    quite another) where it is plainly longer: jitter below 0.37 periods so errs at the two ends of the sum alone, and
    a gap counts as the samples that are missing. The fields are the state.
    """

    intervals: list[float] = field(default_factory=lambda: [0.0] * BLOCK)
    count: int = 0
    spans: list[float] = field(default_factory=lambda: [0.0] * BLOCKS)
    periods: list[float] = field(default_factory=lambda: [0.0] * BLOCKS)
    blocks: int = 0

    def push(self, interval_ns: int, expected_ns: float) -> bool:
        """Take an interval, where periods of ``expected_ns`` are; whether it completed a block."""
        self.intervals[self.count] = float(interval_ns)
        self.count += 1
        if self.count < BLOCK:
            return False
        median = statistics.median(self.intervals)
        period = expected_ns if abs(median / expected_ns - 1.0) < _LIKE else median
        place = self.blocks % BLOCKS
        self.spans[place] = sum(self.intervals)
        self.periods[place] = float(sum(_whole(interval / period) for interval in self.intervals))
        self.count, self.blocks = 0, self.blocks + 1
        return True

    def period_ns(self) -> float:
        """The mean period of the newest blocks; 0 before the first."""
        periods = sum(self.periods)
        return sum(self.spans) / periods if periods else 0.0

    def slack(self) -> float:
        """What jitter can do to `period_ns`, as many times what it can where there are all blocks."""
        return BLOCKS / min(max(self.blocks, 1), BLOCKS)


def _whole(periods: float) -> int:
    return 1 if periods < _PLAINLY else round(periods)
