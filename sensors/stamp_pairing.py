"""Pairs the two topics of one IMU: a reading of rate and acceleration, and the magnetic field of the same stamp."""

from __future__ import annotations

from collections import deque

from knuckle.sensors.estimator import Array, ImuSample


class StampPairing:
    """Joins by equal stamp, in the order of the inertial readings, whichever topic comes first.

    A reading waits for its field until a later field arrives, or until readings ``patience_ns`` newer have come: then
    the field is taken for dead, and nothing waits until one arrives again. ``unpaired`` counts readings that went
    without, ``unused`` fields that found no reading (their stamps differ, or they came too late).
    """

    def __init__(self, *, expects_mag: bool = True, patience_ns: int = 1_000_000_000) -> None:
        self._patience_ns = patience_ns
        self._waits = expects_mag
        self._readings: deque[tuple[int, Array, Array]] = deque()
        self._fields: deque[tuple[int, Array]] = deque(maxlen=4096)
        self.unpaired = 0
        self.unused = 0

    def imu(self, stamp_ns: int, gyr: Array, acc: Array) -> list[tuple[int, ImuSample]]:
        """Take a reading; returns the samples that are now complete, oldest first."""
        self._readings.append((stamp_ns, gyr, acc))
        return self._release()

    def mag(self, stamp_ns: int, mag: Array) -> list[tuple[int, ImuSample]]:
        """Take a field; returns the samples that are now complete, oldest first."""
        self._waits = True
        while self._fields and (self._fields[-1][0] >= stamp_ns or len(self._fields) == self._fields.maxlen):
            self._fields.pop()  # a wild stamp, or the far end of a queue that nobody empties
            self.unused += 1
        self._fields.append((stamp_ns, mag))
        return self._release()

    def clear(self) -> None:
        """Forget what waits: the stream goes on from elsewhere."""
        self._readings.clear()
        self._fields.clear()

    def _release(self) -> list[tuple[int, ImuSample]]:
        ready: list[tuple[int, ImuSample]] = []
        while self._readings:
            stamp_ns, gyr, acc = self._readings[0]
            while self._fields and self._fields[0][0] < stamp_ns:
                self._fields.popleft()
                self.unused += 1
            if self._fields and self._fields[0][0] == stamp_ns:
                sample = ImuSample(gyr, acc, self._fields.popleft()[1])
            elif self._fields or self._given_up(stamp_ns):
                sample = ImuSample(gyr, acc)
                self.unpaired += 1
            else:
                break
            self._readings.popleft()
            ready.append((stamp_ns, sample))
        return ready

    def _given_up(self, stamp_ns: int) -> bool:
        if self._waits and abs(self._readings[-1][0] - stamp_ns) >= self._patience_ns:
            self._waits = False
        return not self._waits
