"""What the page has heard of the bus so far, as plain values, and the small sums it makes of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array

SILENT_S = 3.0  # a node that has said nothing for so long is not well


@dataclass(frozen=True)
class Health:
    """The last diagnostics of one node: level 0 ok, 1 warning, 2 error, 3 stale; ``heard_s`` wall time."""

    level: int
    text: str
    heard_s: float
    rate_hz: float | None = None


@dataclass(frozen=True)
class Safety:
    """The driver's state, by its name, with the holder of the lease and the reason."""

    state: str
    holder: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Zone:
    """What the watch of the zone says of itself: whether it sees, or is ``off``, why; ``heard_s`` wall time."""

    sees: bool
    off: bool
    reason: str
    heard_s: float


@dataclass
class Pace:
    """Simulated, or recorded, seconds for each second of the wall, over the last two."""

    window_s: float = 2.0
    _points: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, wall_s: float, stamp_ns: int) -> None:
        """Take the stamp of a message and when it came; a stamp that goes back starts anew."""
        if self._points and stamp_ns < self._points[-1][1]:
            self._points.clear()
        self._points.append((wall_s, stamp_ns))
        while wall_s - self._points[0][0] > self.window_s:
            self._points.popleft()

    def factor(self, wall_s: float) -> float | None:
        """The real-time factor; None where too little has come lately."""
        if len(self._points) < 2 or wall_s - self._points[-1][0] > self.window_s:
            return None
        (wall_0, stamp_0), (wall_1, stamp_1) = self._points[0], self._points[-1]
        return (stamp_1 - stamp_0) * 1e-9 / (wall_1 - wall_0) if wall_1 - wall_0 > 0.2 else None


@dataclass
class AngleHistory:
    """The angle between object and goal over the last ``span_s`` seconds of the hand's clock."""

    span_s: float = 30.0
    spacing_s: float = 0.1
    _times: deque[float] = field(default_factory=deque)
    _degrees: deque[float] = field(default_factory=deque)

    def note(self, stamp_ns: int, orientation: Array, goal: Array | None) -> float | None:
        """Take the object's orientation; the angle to ``goal`` in degrees, None without one (a gap in the curve)."""
        time_s = stamp_ns * 1e-9
        angle = None if goal is None else float(np.degrees(rotations.angle_between(orientation, goal)))
        if self._times and time_s < self._times[-1]:
            self._times.clear()
            self._degrees.clear()
        if not self._times or time_s - self._times[-1] > 0.999 * self.spacing_s:
            self._times.append(time_s)
            self._degrees.append(float("nan") if angle is None else angle)
            while time_s - self._times[0] > self.span_s:
                self._times.popleft()
                self._degrees.popleft()
        return angle

    def curve(self) -> tuple[Array, Array]:
        """Seconds before now (all <= 0) and degrees, equally long, at least one point each."""
        if not self._times:
            return np.zeros(1), np.full(1, np.nan)
        times = np.array(self._times)
        return times - times[-1], np.array(self._degrees)
