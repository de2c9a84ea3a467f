"""How many commands come late: counted since start, and as a share of those due over the last seconds."""

from __future__ import annotations

from collections import deque

from knuckle.hardware.safety.config import Config

MOST = 4096


class MissMeter:
    """Late commands of a commander that is due ``rate_hz`` times a second. Times are ns of the hand's clock."""

    def __init__(self, rate_hz: float, config: Config) -> None:
        self._window_ns = round(config.miss_window_s * 1e9)
        self._due = rate_hz * config.miss_window_s
        self._allowed = config.miss_share
        self._misses: deque[int] = deque(maxlen=MOST)
        self.total = 0
        """Misses since start."""

    def missed(self, now_ns: int) -> None:
        """A command was late, or did not come."""
        self._misses.append(now_ns)
        self.total += 1

    def forget(self) -> None:
        """Begin a new window, as after a clock that ran backwards; the total stays."""
        self._misses.clear()

    def share(self, now_ns: int) -> float:
        """Misses over the window that ends now, as a share of the commands due in a whole window."""
        while self._misses and self._misses[0] <= now_ns - self._window_ns:
            self._misses.popleft()
        return len(self._misses) / self._due

    def problem(self, now_ns: int) -> str:
        """One line where the share is above what is allowed; empty where it is not."""
        share = self.share(now_ns)
        if share <= self._allowed:
            return ""
        return f"{100.0 * share:.1f}% of the commands of the last {self._window_ns * 1e-9:g} s were late"
