"""What a node measures of itself over the last second: rate, latency and drops. Pure: times are arguments."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """Rate of outputs in Hz, their median, 99th percentile and largest latency in s (NaN without), drops so far."""

    rate_hz: float
    latency_p50_s: float
    latency_p99_s: float
    latency_max_s: float
    drops: int


class HealthMeter:
    """Counts outputs over a sliding window of ``window_s``."""

    def __init__(self, window_s: float = 1.0) -> None:
        self.window_s = window_s
        self.drops = 0
        self._outputs: deque[tuple[float, float]] = deque(maxlen=4096)

    def produced(self, now_s: float, latency_s: float = math.nan) -> None:
        """An output at ``now_s``, ``latency_s`` after what it answers."""
        self._outputs.append((now_s, latency_s))

    def dropped(self, count: int = 1) -> None:
        """Inputs that were not used, or outputs that could not be made."""
        self.drops += count

    def read(self, now_s: float) -> Health:
        """The figures of the window that ends now."""
        while self._outputs and self._outputs[0][0] <= now_s - self.window_s:
            self._outputs.popleft()
        latencies = sorted(latency for _, latency in self._outputs if not math.isnan(latency))
        return Health(
            rate_hz=len(self._outputs) / self.window_s,
            latency_p50_s=latencies[len(latencies) // 2] if latencies else math.nan,
            latency_p99_s=latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] if latencies else math.nan,
            latency_max_s=latencies[-1] if latencies else math.nan,
            drops=self.drops,
        )
