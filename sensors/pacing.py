"""When to send the next sample of a recording: on an absolute schedule that neither drifts nor bunches."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Pacer:
    """Turns stamps of a recording into times of sending; clocks are the caller's, in nanoseconds.

    Every sample is due at ``begin_ns`` plus its time in the recording. After a stall the backlog is sent at no less
    than half of ``period_ns`` apart, instead of in one burst; ``late`` counts the samples sent more than a period
    after they were due.
    """

    period_ns: int
    begin_ns: int
    first_stamp_ns: int
    late: int = 0
    sent: int = 0
    _first_sent_ns: int = field(default=0, repr=False)
    _last_sent_ns: int = field(default=0, repr=False)

    def due_ns(self, stamp_ns: int) -> int:
        """When to send the sample of ``stamp_ns``."""
        scheduled = self.begin_ns + stamp_ns - self.first_stamp_ns
        return max(scheduled, self._last_sent_ns + self.period_ns // 2) if self.sent else scheduled

    def sent_at(self, stamp_ns: int, now_ns: int) -> None:
        """Note that the sample of ``stamp_ns`` was sent at ``now_ns``."""
        if now_ns - (self.begin_ns + stamp_ns - self.first_stamp_ns) > self.period_ns:
            self.late += 1
        if self.sent == 0:
            self._first_sent_ns = now_ns
        self._last_sent_ns = now_ns
        self.sent += 1

    def rate_hz(self) -> float:
        """The rate kept: intervals over the time they took; 0 before the second sample."""
        span = self._last_sent_ns - self._first_sent_ns
        return (self.sent - 1) * 1e9 / span if span > 0 else 0.0
