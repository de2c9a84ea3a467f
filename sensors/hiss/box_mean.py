"""From a sensor's own rate down to the model's: the mean of what came in each period, known when the period is over.

A mean over the period is an anti-alias filter that looks at nothing later than its own stamp, and of rates it keeps
the integral. `box_mean` is for recordings, `BoxMean` for streams; they give the same rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SLACK_NS = 1000
"""A stamp this little after the end of a period still belongs to it: stamps are rounded."""
_STATE = ("begun", "origin_ns", "period", "count", "total", "last")


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


class BoxMean:
    """The same for a stream of D channels, one value at a time, with increasing stamps."""

    def __init__(self, rate_hz: float, channels: int) -> None:
        self.rate_hz = rate_hz
        self._begun = False
        self._origin_ns = self._period = self._count = 0
        self._total = [0.0] * channels
        self._last = [0.0] * channels

    def push(self, stamp_ns: int, value: Array) -> list[tuple[int, Array]]:
        """Take ``value`` (D,) of ``stamp_ns``; the stamps and rows of the periods that are over by it, in order."""
        if not self._begun:
            self._begun, self._origin_ns = True, stamp_ns
        over = []
        while stamp_ns > self._end() + SLACK_NS:
            over.append(self._emit())
        self._total = [a + b for a, b in zip(self._total, value.tolist(), strict=True)]
        self._count += 1
        if stamp_ns >= self._end() - SLACK_NS:
            over.append(self._emit())
        return over

    def state(self) -> dict[str, Any]:
        """All that the next `push` depends on."""
        return {name: getattr(self, f"_{name}") for name in _STATE}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state`` bit for bit."""
        for name in _STATE:
            setattr(self, f"_{name}", state[name])

    def _end(self) -> int:
        return self._origin_ns + round(self._period * 1e9 / self.rate_hz)

    def _emit(self) -> tuple[int, Array]:
        if self._count:
            self._last = [v / self._count for v in self._total]
        end = self._end()
        self._period, self._count, self._total = self._period + 1, 0, [0.0] * len(self._last)
        return end, np.array(self._last)
