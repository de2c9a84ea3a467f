"""A device's clock told on ours: the offset is that of the frame that took the shortest way of late.

A frame arrives after its exposure by what the camera, the bus and the library need, and by what the machine was busy
for. Only the last varies upwards, so the smallest difference of arrival and device time over a window is the offset
plus the shortest way; that way (a few ms) stays in the stamp. Drift is followed as the window goes on.
"""

from __future__ import annotations

from collections import deque

WINDOW = 120


class DeviceClock:
    """Maps device nanoseconds to host nanoseconds. Its stamps always grow, and none lies after its arrival."""

    def __init__(self, window: int = WINDOW) -> None:
        self._offsets: deque[int] = deque(maxlen=window)
        self._last_device_ns: int | None = None
        self._last_stamp_ns: int | None = None
        self.resets = 0

    def stamp(self, device_ns: int, arrival_ns: int) -> int:
        """The exposure on our clock, of a frame with the device's time ``device_ns`` that came at ``arrival_ns``.

        A device clock that goes back was set anew, and is learnt anew. One that leaps forward shows as a shorter way
        and is followed at once; only a longer way is never believed, for that is what a late frame looks like.
        """
        offset = arrival_ns - device_ns
        if self._last_device_ns is not None and device_ns <= self._last_device_ns:
            self._offsets.clear()
            self.resets += 1
        self._offsets.append(offset)
        self._last_device_ns = device_ns
        stamp = device_ns + min(self._offsets)
        if self._last_stamp_ns is not None and stamp <= self._last_stamp_ns:
            stamp = self._last_stamp_ns + 1
        self._last_stamp_ns = stamp
        return stamp
