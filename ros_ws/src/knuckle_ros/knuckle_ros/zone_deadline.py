"""The driver's side of the watch of the zone: a watch that has begun must go on, or the hand holds.

A watch that is blind holds the hand itself and says why. One that died, hangs or is cut off cannot; its silence is seen
here, by the driver's own clock.
"""

from __future__ import annotations

from knuckle_msgs.msg import ZoneState

from knuckle_ros.wire import stamp_ns

START_S = 8.0
"""A watch that has begun may take so long over its first frame: a little longer than it allows itself."""


class ZoneDeadline:
    """How long the zone may go unjudged: ``silence_s``; for ever where that is 0, or no watch is, or it is off."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._expected = False
        self._since_ns = self._judged_ns = 0

    def heard(self, state: ZoneState, now_ns: int) -> None:
        """What the watch says of itself. A watch that starts again is not forgiven the silence of the one before."""
        expected = state.state != ZoneState.OFF
        if expected and not self._expected:
            self._since_ns, self._judged_ns = now_ns, 0
        self._expected = expected
        judged_ns = stamp_ns(state.header.stamp)
        if state.state == ZoneState.WATCHING and judged_ns <= now_ns + self._limit_ns:
            self._judged_ns = judged_ns

    @property
    def _limit_ns(self) -> int:
        return round(self._silence_s * 1e9)

    def unwatched(self, now_ns: int) -> str:
        """Why nobody may arm now, one line; empty where the zone is watched, or need not be."""
        if not self._expected or not self._silence_s:
            return ""
        if not self._judged_ns:
            return "the watch of the zone has seen nothing yet"
        if now_ns - self._judged_ns > self._limit_ns:
            return f"the watch of the zone has judged nothing for {self._silence_s:g} s"
        return ""

    def broken(self, now_ns: int) -> str:
        """Why an armed hand must hold now, one line; the first frame may take longer. Empty where it need not."""
        line = self.unwatched(now_ns)
        if line and not self._judged_ns and now_ns - self._since_ns <= START_S * 1e9:
            return ""
        return line
