"""What a node of frames drops, and how it says so: one line on diagnostics for each kind of thing that was wrong."""

from __future__ import annotations

import time

from knuckle_ros.diagnostics import Diagnostics, Level

SILENT_S = 2.0
MOST_REASONS = 3


class FrameJudge:
    """Keeps the frame of reference, what was wrong since the last report, and whether frames still come."""

    def __init__(self, topic: str, frame: str = "") -> None:
        self._topic, self._frame = topic, frame
        self._dropped, self._line = 0, ""
        self._why: dict[str, None] = {}
        self._last = time.monotonic()

    def right_frame(self, frame: str) -> bool:
        """Whether ``frame`` is the frame of reference; the first that comes is, where none is set."""
        self._frame = self._frame or frame
        if frame != self._frame or not frame:
            self.dropped(f"frame '{frame[:64]}', not '{self._frame or 'a name'}'")
            return False
        return True

    def dropped(self, why: str) -> None:
        """Something was left out."""
        self._dropped += 1
        if len(self._why) < MOST_REASONS:
            self._why[why] = None

    def went_well(self, line: str) -> None:
        """A frame was used; ``line`` says what came of it."""
        self._line, self._last = line, time.monotonic()

    def report(self, diagnostics: Diagnostics) -> None:
        """Say how the last second went."""
        if self._dropped:
            why = "; ".join(self._why)
            diagnostics.dropped(self._dropped)
            diagnostics.value("last_refusal", why)
            diagnostics.level(Level.WARN, f"{self._topic}: {self._dropped} dropped: {why}")
            # At once, also where the level was a warning before: the next second may have nothing to say.
            diagnostics.publish()
            self._dropped = 0
            self._why.clear()
        elif time.monotonic() - self._last > SILENT_S:
            diagnostics.level(Level.STALE, f"{self._topic}: none comes")
        else:
            diagnostics.level(Level.OK, self._line)
