"""A recorded IMU stream in SI units, with the truth beside it where there is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import RecordingError
from knuckle.sensors.estimator import Array


@dataclass(frozen=True)
class ImuRecording:
    """N samples of one IMU, checked when made: RecordingError names the field and the first bad row.

    ``stamps_ns`` (N,) int64, increasing; ``gyr`` (N, 3) rad/s, ``acc`` (N, 3) m/s^2, ``mag`` (N, 3) T or None, all
    finite; ``truth`` (N, 4) w x y z or None, rows of NaN where the sensor was not tracked; ``movement`` (N,) bool or
    None, the samples to be scored; ``rate_hz`` nominal; ``name`` the file it came from.
    """

    name: str
    rate_hz: float
    stamps_ns: NDArray[np.int64]
    gyr: Array
    acc: Array
    mag: Array | None = None
    truth: Array | None = None
    movement: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.stamps_ns)
        if n == 0:
            raise RecordingError("the recording is empty", where=self.name, right="at least one sample")
        if not (np.isfinite(self.rate_hz) and 0.0 < self.rate_hz <= 1e5):
            right = "a rate above 0 and up to 100000 Hz"
            raise RecordingError(f"the sampling rate is {self.rate_hz:g} Hz", where=self.name, right=right)
        for field, columns in (("gyr", 3), ("acc", 3), ("mag", 3), ("truth", 4)):
            rows = getattr(self, field)
            if rows is not None and rows.shape != (n, columns):
                raise self._bad(field, f"has shape {rows.shape}", f"({n}, {columns})")
            if rows is not None and field != "truth":
                self._require_rows(field, np.isfinite(rows).all(axis=1), "is not finite", "numbers in every sample")
        if self.movement is not None and self.movement.shape != (n,):
            raise self._bad("movement", f"has shape {self.movement.shape}", f"({n},)")
        forward = np.concatenate([[True], np.diff(self.stamps_ns) > 0])
        self._require_rows("stamps_ns", forward, "runs backwards or stands still", "time that increases")
        if self.truth is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may hold any number
                norm = np.linalg.norm(self.truth, axis=1)
            good = np.isnan(self.truth).all(axis=1) | (np.abs(norm - 1.0) < 1e-2)
            self._require_rows("truth", good, "is not a unit quaternion", "unit quaternions, or NaN in all four")

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def part(self, start_s: float, seconds: float) -> ImuRecording:
        """The samples from ``start_s`` on, for ``seconds`` (0: to the end); RecordingError where there are none."""
        t = (self.stamps_ns - self.stamps_ns[0]) * 1e-9
        keep = (t >= start_s) & ((t < start_s + seconds) | (seconds <= 0.0))
        if not keep.any():
            right = f"a start before {t[-1]:.1f} s"
            raise RecordingError(f"no samples from {start_s:g} s on", where=self.name, right=right)
        picked = {
            field: None if getattr(self, field) is None else getattr(self, field)[keep]
            for field in ("mag", "truth", "movement")
        }
        return ImuRecording(self.name, self.rate_hz, self.stamps_ns[keep], self.gyr[keep], self.acc[keep], **picked)

    def _require_rows(self, field: str, good: NDArray[np.bool_], what: str, right: str) -> None:
        if not good.all():
            raise self._bad(field, f"{what} at sample {int(np.argmin(good))}", right)

    def _bad(self, field: str, what: str, right: str) -> RecordingError:
        return RecordingError(f"'{field}' {what}", where=self.name, right=right)
