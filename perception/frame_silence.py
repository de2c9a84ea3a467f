"""Whether what comes with a period has stopped coming, told by the stamps of something that goes on (joint states).

Stamps tell it as well in a simulation that waits as on a machine that is busy; no clock of the wall would.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from statistics import median

KEPT = 8
FEWEST = 3
JUMP_NS = 1_000_000_000


class FrameSilence:
    """Counts the periods since the last frame. Silence is more than ``patience`` of them.

    They are counted from the frame's stamp, or with ``by_arrival`` from the time at which it came: then frames that are
    long under way are late but not silent.
    """

    def __init__(self, patience: float, *, by_arrival: bool = False) -> None:
        self._patience, self._by_arrival = patience, by_arrival
        self._from_ns = 0
        self._stamps: deque[int] = deque(maxlen=KEPT)
        self._now_ns = 0

    def frame(self, stamp_ns: int) -> None:
        """A frame of ``stamp_ns`` came; one that goes back by more than a second is a clock set anew."""
        if self._stamps and stamp_ns <= self._stamps[-1]:
            if self._stamps[-1] - stamp_ns < JUMP_NS:
                return
            self._stamps.clear()
            self._now_ns = 0
        self._stamps.append(stamp_ns)
        self._from_ns = max(stamp_ns, self._now_ns) if self._by_arrival else stamp_ns

    def passed(self, stamp_ns: int) -> None:
        """It is ``stamp_ns`` now, or later."""
        if self._now_ns - stamp_ns > JUMP_NS:
            self._stamps.clear()
            self._now_ns = 0
        self._now_ns = max(self._now_ns, stamp_ns)

    @property
    def period_ns(self) -> int:
        """The frames' period; 0 where too few have come to tell."""
        stamps = list(self._stamps)
        if len(stamps) < FEWEST:
            return 0
        return round(median(b - a for a, b in pairwise(stamps)))

    @property
    def silent(self) -> bool:
        """Whether a frame should long have come; never where their period is not known."""
        return self.period_ns > 0 and self._now_ns - self._from_ns > self._patience * self.period_ns

    @property
    def since_ms(self) -> float:
        """Milliseconds that are counted so far; 0 before the first frame."""
        return max(0, self._now_ns - self._from_ns) * 1e-6 if self._stamps else 0.0
