"""From a sensor's own rate down to the model's: the mean of what came in each period, known when the period is over.

A mean over the period is an anti-alias filter that looks at nothing later than its own stamp, and of rates it keeps
the integral. `box_mean` is for recordings, `BoxMean` for streams; they give the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SLACK_NS = 1000
"""A stamp this little after the end of a period still belongs to it: stamps are rounded."""


def box_mean(stamps_ns: NDArray[np.int64], values: Array, rate_hz: float) -> Array:
    """``values`` (N, D) at ``stamps_ns`` as (L, D) at ``rate_hz``: row i the mean over (i - 1, i] periods.

    Time begins at the first stamp, which is row 0. A period without samples has the row before it. What comes after
    the last whole period is left out.
    """
    ends = np.searchsorted(stamps_ns, periods(stamps_ns, rate_hz) + SLACK_NS, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    full = ends > starts
    rows = np.zeros((len(ends), values.shape[1]))
    sums = np.add.reduceat(values[: ends[-1]], starts[full], axis=0)
    rows[full] = sums / (ends - starts)[full, None]
    return np.asarray(rows[np.maximum.accumulate(np.where(full, np.arange(len(ends)), 0))])


def periods(stamps_ns: NDArray[np.int64], rate_hz: float) -> NDArray[np.int64]:
    """The ends in ns of the periods that `box_mean` has rows for, (L,)."""
    first, last = int(stamps_ns[0]), int(stamps_ns[-1]) + SLACK_NS
    whole = int((last - first) * rate_hz / 1e9)
    return np.asarray(first + np.rint(np.arange(whole + 1) * 1e9 / rate_hz).astype(np.int64), dtype=np.int64)


@dataclass
class BoxMean:
    """One value at a time, increasing stamps. The fields after ``rate_hz`` are the state."""

    rate_hz: float
    origin_ns: int = -1
    period: int = 0
    count: int = 0
    total: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)

    def push(self, stamp_ns: int, value: Array) -> list[tuple[int, Array]]:
        """Take ``value`` (D,) of ``stamp_ns``; the stamps and rows of the periods that are over by it, in order."""
        if not self.total:
            self.origin_ns = stamp_ns
            self.total, self.last = [0.0] * len(value), value.tolist()
        over = []
        while stamp_ns > self._end() + SLACK_NS:
            over.append(self._emit())
        self.total = [a + b for a, b in zip(self.total, value.tolist(), strict=True)]
        self.count += 1
        if stamp_ns >= self._end() - SLACK_NS:
            over.append(self._emit())
        return over

    def state(self) -> dict[str, Any]:
        """All that the next `push` depends on."""
        names = ("origin_ns", "period", "count", "total", "last")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state`` bit for bit."""
        for name, value in state.items():
            setattr(self, name, value)

    def _end(self) -> int:
        return self.origin_ns + round(self.period * 1e9 / self.rate_hz)

    def _emit(self) -> tuple[int, Array]:
        if self.count:
            self.last = [v / self.count for v in self.total]
        end = self._end()
        self.period, self.count, self.total = self.period + 1, 0, [0.0] * len(self.last)
        return end, np.array(self.last)
